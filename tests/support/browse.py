#!/usr/bin/env python3
"""Looks at the monitor's page as a person with a keyboard does, and leaves pictures.

    browse.py URL PICTURES TOKEN_FILE

Opens the page at 400 and at 1600 pixels, light and dark, in the headless Chromium of the system, and fails where it asks another
origin, complains, does not fit, or cannot be used by keyboard. Then it switches over with the token, and sees it happen.
"""

import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

CHROMIUM = "/usr/bin/chromium-headless-shell"
LIMIT = 30_000


def fail(why):
    sys.exit(f"browse.py: {why}")


def open_page(context, url):
    """Opens the page, and returns it with what it complained of."""
    page, wrong = context.new_page(), []
    page.set_default_timeout(LIMIT)
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda answer: wrong.append(f"{answer.url}: {answer.status}") if answer.status >= 400 else None)
    page.on("request", lambda asked: None if asked.url.startswith(url) else wrong.append(f"asks {asked.url}"))
    page.goto(url)
    page.wait_for_selector("#clusters svg .card.primary")
    page.wait_for_selector("#drift li")
    return page, wrong


def focus(page):
    """Returns what has the focus, in a few words."""
    return page.evaluate("(document.activeElement.id || document.activeElement.className || document.activeElement.tagName)")


def walk(page):
    """Returns everything that the tab key reaches."""
    seen = []
    for _ in range(30):
        page.keyboard.press("Tab")
        at = focus(page)
        if at == "BODY" or (seen and at == seen[0]):
            break
        seen.append(at)
    return seen


def check(page, wrong, width):
    if page.evaluate("document.documentElement.scrollWidth") > width:
        fail(f"the page is wider than {width} pixels")
    reached = walk(page)
    for needed in ("skip", "scroll", "token"):
        if needed not in reached:
            fail(f"the tab key does not reach {needed!r}, only {reached}")
    table = page.locator("#clusters table")
    if table.locator("tbody tr").count() != 3:
        fail("the table does not list the three nodes")
    if wrong:
        fail("; ".join(wrong))


def switch_over(page, token):
    """Types the token and asks for another primary, by keyboard alone."""
    before = page.locator("#clusters h2").inner_text()
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#token").focus()
    page.keyboard.type(token)
    page.keyboard.press("Enter")
    page.wait_for_selector("#orders:not([hidden])")
    if focus(page) != "order":
        fail("the focus does not go on to what can be asked for")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#ordered")).to_contain_text(": done", timeout=LIMIT)
    expect(page.locator("#clusters h2")).not_to_have_text(before, timeout=LIMIT)
    expect(page.locator("#events")).to_contain_text("asked for by", timeout=LIMIT)
    expect(page.locator("#run-title")).to_contain_text("switchover, done", timeout=LIMIT)
    expect(page.locator("#run")).to_contain_text("promote", timeout=LIMIT)
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    if token in page.content() or token in kept:
        fail("the token is in the page, or was stored")
    print("seen: switchover")


def main():
    url, pictures, token = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]).read_text().strip()
    pictures.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width in (400, 1600):
            for scheme in ("light", "dark"):
                context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
                page, wrong = open_page(context, url)
                check(page, wrong, width)
                if (width, scheme) == (1600, "dark"):
                    switch_over(page, token)
                page.screenshot(path=pictures / f"{width}-{scheme}.png", full_page=True)
                context.close()
        browser.close()


main()
