// Shows what the monitor sees, live: /v1/events once, then /v1/stream. It changes something only where a person has typed the token, which
// stays in memory. Text of the monitor becomes text nodes, never markup.

const MOST_EVENTS = 200;
const CARD = { width: 230, height: 118, gap: 30, rise: 86 };
const SVG = "http://www.w3.org/2000/svg";

const element = (id) => document.getElementById(id);
const known = (value, otherwise = "unknown") => value ?? otherwise;

const LOOK_AGAIN = 30_000;
const COME_BACK = 2_000;

let shown = { clusters: [] };
let token = "";
let lastEvent = null;
let chosen = location.hash.slice(1);

function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function bytes(count) {
  if (count === null || count === undefined) return "unknown";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? count : count.toFixed(1)} ${units[unit]}`;
}

const lag = (node) =>
  node.lag_seconds === null ? bytes(node.lag_bytes) : `${bytes(node.lag_bytes)}, ${node.lag_seconds.toFixed(1)} s`;

const isUp = (node) => node.state === "running";
const shade = (node) => (isUp(node) ? (node.condition === "alive" ? "good" : "warn") : "bad");
const state = (node) => (node.because ? `${node.condition}: ${node.because}` : node.state);

// Layout: nodes that follow none on top, each of the others below the one that it follows; one column where the page is narrow.
function layout(nodes, width) {
  const names = new Set(nodes.map((node) => node.name));
  const depth = (node, seen = new Set()) => {
    if (!node.follows || !names.has(node.follows) || seen.has(node.name)) return 0;
    seen.add(node.name);
    return 1 + depth(nodes.find((other) => other.name === node.follows), seen);
  };
  const rows = [];
  for (const node of nodes) (rows[depth(node)] ??= []).push(node);
  const columns = Math.max(1, Math.floor((width + CARD.gap) / (CARD.width + CARD.gap)));
  const places = new Map();
  let y = 4;
  for (const row of rows.filter(Boolean)) {
    for (let at = 0; at < row.length; at += columns) {
      const line = row.slice(at, at + columns);
      const taken = line.length * (CARD.width + CARD.gap) - CARD.gap;
      line.forEach((node, column) => {
        places.set(node.name, { x: Math.max(4, (width - taken) / 2) + column * (CARD.width + CARD.gap), y });
      });
      y += CARD.height + CARD.rise;
    }
  }
  return { places, height: Math.max(CARD.height + 8, y - CARD.rise + 4) };
}

function edge(node, places) {
  const from = places.get(node.follows);
  const to = places.get(node.name);
  if (!from || !to) return [];
  const kind = !node.streams ? "broken" : node.sync_state === "sync" || node.sync_state === "quorum" ? "waits" : "";
  const [x1, y1] = [from.x + CARD.width / 2, from.y + CARD.height];
  const [x2, y2] = [to.x + CARD.width / 2, to.y];
  const words = `from ${node.follows}: ${node.streams ? known(node.sync_state) : "does not stream"}`;
  return [
    draw("path", { class: `edge ${kind}`, d: `M ${x1} ${y1} C ${x1} ${y1 + 40}, ${x2} ${y2 - 40}, ${x2} ${y2}` }),
    draw("text", { x: x2 + 8, y: y2 - 24 }, words),
    draw("text", { x: x2 + 8, y: y2 - 8, class: "soft" }, `lag ${lag(node)}`),
  ];
}

// A primary has a heavy frame and a triangle, a standby a circle, a fenced node a dashed frame and a square.
function mark(role, x, y) {
  if (role === "primary") return draw("path", { class: "good", d: `M ${x} ${y + 12} L ${x + 7} ${y} L ${x + 14} ${y + 12} Z` });
  if (role === "standby") return draw("circle", { class: "soft", cx: x + 7, cy: y + 6, r: 6 });
  return draw("rect", { class: "warn", x, y, width: 12, height: 12 });
}

function card(node, { x, y }) {
  const line = (at, text, kind = "") => draw("text", { x: x + 12, y: y + at, class: kind }, text);
  const cut = (text) => (text.length > 32 ? `${text.slice(0, 31)}…` : text);
  return [
    draw("rect", {
      class: `card ${node.role} ${isUp(node) ? "" : "down"}`,
      x, y, width: CARD.width, height: CARD.height, rx: node.role === "primary" ? 2 : 12,
    }),
    mark(node.role, x + CARD.width - 28, y + 12),
    line(24, node.name, "name"),
    line(44, node.role),
    line(62, cut(state(node)), shade(node)),
    line(80, `at ${known(node.lsn)}, timeline ${known(node.timeline)}`, "soft"),
    line(98, known(node.address, "no address"), "soft"),
  ];
}

function topology(cluster, width) {
  const { places, height } = layout(cluster.nodes, width);
  const picture = draw("svg", {
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": `Topology of cluster ${cluster.name}; the table below says the same`,
  });
  picture.append(...cluster.nodes.flatMap((node) => edge(node, places)));
  picture.append(...cluster.nodes.flatMap((node) => card(node, places.get(node.name))));
  return picture;
}

function table(cluster) {
  const heads = ["Node", "Role", "Follows", "State", "Commits wait", "LSN", "Timeline", "Lag", "Address"];
  const rows = cluster.nodes.map((node) => [
    node.name,
    node.role,
    known(node.follows, "–"),
    state(node),
    node.role === "standby" ? known(node.sync_state) : "–",
    known(node.lsn),
    known(node.timeline),
    node.role === "standby" ? lag(node) : "–",
    known(node.address, "–"),
  ]);
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Nodes of ${cluster.name}` },
    make("table", {},
      make("caption", {}, `Nodes of ${cluster.name}`),
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, ...rows.map(([name, ...cells]) =>
        make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((cell) => make("td", {}, String(cell))))))));
}

function commits(cluster) {
  const { sync_standbys_required: needed, sync_standbys: there } = cluster;
  const rule = needed === 0 ? "wait for no standby" : `wait for ${needed} of the standbys, of which ${there} can confirm`;
  return `${rule} (${cluster.replication}); ${cluster.commits_waiting} wait now`;
}

function facts(cluster) {
  const held = cluster.held;
  const change = cluster.last_role_change;
  const paused = cluster.paused;
  const pairs = [
    ["Health", cluster.healthy ? (cluster.stopped ? "stopped, as declared" : "as it should be") : cluster.reasons.join("; "), cluster.healthy ? "good" : "bad"],
    ["The monitor", cluster.acting ? `does: ${cluster.acting.what}` : cluster.decision ? `begins: ${cluster.decision}` : "does nothing now", cluster.acting ? "warn" : ""],
    ["It would", held ? `${held.decision}, and does not: ${held.because}. By hand: ${held.command}` : "do nothing else", held ? "warn" : ""],
    ["Failover", cluster.failover === "automatic" ? "automatic" : "manual: a person decides", ""],
    ["Paused", paused ? `by ${paused.who} since ${paused.since}${paused.reason ? `: ${paused.reason}` : ""}` : "no", paused ? "warn" : ""],
    ["Commits", commits(cluster), cluster.commits_waiting > 0 ? "warn" : ""],
    ["Last role change", change ? `term ${change.term}: ${change.reason} to ${change.to}, which leads from ${change.at_lsn} on, timeline ${change.timeline}` : "none", ""],
    ["Proof", change ? `writes before it: ${change.verdict}` : "no role changed yet", change && change.verdict.startsWith("unknown") ? "bad" : ""],
  ];
  if (cluster.alarms.length > 0) pairs.push(["Alarms", cluster.alarms.join("; "), "bad"]);
  for (const endpoint of cluster.endpoints) pairs.push([endpoint.address, `${endpoint.target}: ${endpoint.nodes.join(", ")}${endpoint.pooler ? `, by the pooler at ${endpoint.pooler}` : ""}`, ""]);
  return make("dl", {}, ...pairs.flatMap(([name, text, kind]) => [make("dt", {}, name), make("dd", { class: kind }, text)]));
}

function choice() {
  const names = shown.clusters.map((cluster) => cluster.name);
  if (!names.includes(chosen)) chosen = names[0] ?? "";
  const nav = element("choice");
  const there = [...nav.children].map((button) => button.dataset.name);
  if (there.join("\n") !== names.join("\n")) {
    nav.replaceChildren(...names.map((name) => {
      const button = make("button", { type: "button" });
      button.dataset.name = name;
      button.addEventListener("click", () => {
        chosen = name;
        history.replaceState(null, "", `#${name}`);
        show();
      });
      return button;
    }));
  }
  nav.hidden = names.length < 2;
  for (const button of nav.children) {
    const cluster = shown.clusters.find((other) => other.name === button.dataset.name);
    const label = cluster.healthy ? cluster.name : `${cluster.name} (!)`;
    if (button.textContent !== label) button.textContent = label;
    button.setAttribute("aria-pressed", String(cluster.name === chosen));
  }
}

function show() {
  const monitor = shown.monitor;
  // Before the monitor said something, nothing is known.
  if (!monitor) return;
  choice();
  const standing = monitor.decides ? "decides" : `only observes: ${monitor.observes_because}`;
  const away = monitor.store_away ? ` The state does not answer: ${monitor.store_away}.` : "";
  element("monitor").textContent = `simdb ${monitor.version} of ${monitor.who}, round ${monitor.round}; it ${standing}.${away}`;
  const cluster = shown.clusters.find((other) => other.name === chosen);
  const place = element("clusters");
  if (!cluster) {
    place.replaceChildren(make("p", {}, "The state has no cluster yet. To make one: simdb apply"));
    return;
  }
  const width = Math.max(CARD.width + 8, place.clientWidth);
  const focused = document.activeElement?.getAttribute("aria-label");
  const scrolled = place.querySelector(".scroll")?.scrollLeft ?? 0;
  const title = make("h2", {}, `Cluster ${cluster.name}${cluster.primary ? `, led by ${cluster.primary}` : ""}`);
  const nodes = table(cluster);
  place.replaceChildren(title, facts(cluster), topology(cluster, width), nodes);
  nodes.scrollLeft = scrolled;
  if (focused && nodes.getAttribute("aria-label") === focused) nodes.focus({ preventScroll: true });
}

const told = new Set();

function tell(event) {
  if (told.has(event.number)) return;
  told.add(event.number);
  const subject = [event.cluster, event.node].filter(Boolean).join(".");
  const bad = ["lost", "alarm", "failed", "refused", "store-away"].includes(event.kind);
  const list = element("events");
  list.prepend(make("li", {},
    make("time", { datetime: event.at }, event.at.slice(0, 19).replace("T", " ")),
    make("span", { class: bad ? "bad" : "" }, event.kind),
    make("span", {}, subject || "monitor"),
    make("span", {}, event.text)));
  while (list.children.length > MOST_EVENTS) list.lastElementChild.remove();
}

// The newest run, step by step; a run that is over stays until the next one.
function showRun({ run, steps }) {
  const words = { done: "done", failed: "failed", started: "runs", waiting: "waits" };
  const over = steps.filter((step) => step.status === "done").length;
  element("run-title").textContent = `Run ${Number(run.id)}: ${run.operation}, ${run.status}, ${over} of ${steps.length} steps done`;
  element("run").replaceChildren(...steps.map((step) => {
    const time = step.milliseconds === null ? "" : ` in ${(step.milliseconds / 1000).toFixed(1)} s`;
    const kind = { failed: "bad", started: "warn", done: "good" }[step.status] ?? "soft";
    return make("li", {},
      make("span", { class: kind }, words[step.status] + time),
      make("span", {}, `${known(step.kind, "step")} ${known(step.address, "")}`),
      make("span", { class: "bad" }, known(step.cause, "")));
  }));
}

// What differs from the record, and what an apply would change.
async function lookForDrift() {
  const ask = async (path) => (await fetch(path, { headers: bearing() })).json();
  const [{ drift, at, diagnostics }, { plan }] = await Promise.all([ask("v1/drift"), ask("v1/plan")]);
  const lines = [];
  if (!at) lines.push("Not looked at yet.");
  if (drift) {
    lines.push(...drift.resource_drift.map((found) => `${found.address} differs: ${found.causes.join(", ")}`));
    lines.push(...drift.not_compared.map((unseen) => `${unseen.address} could not be compared`));
    if (lines.length === 0) lines.push("Nothing differs from what the last apply left.");
  }
  if (plan) {
    const count = plan.resource_changes.length;
    lines.push(count === 0 ? "An apply would change nothing." : `An apply would change ${count} objects; the worst impact is ${plan.impact}.`);
  }
  lines.push(...diagnostics.map((diagnostic) => `${diagnostic.summary}: ${diagnostic.detail}`));
  if (at) lines.push(`Looked at ${at.slice(0, 19).replace("T", " ")}.`);
  element("drift").replaceChildren(...lines.map((line) => make("li", {}, line)));
}

const bearing = () => (token ? { Authorization: `Bearer ${token}` } : {});

// What can be asked for, of the cluster that is shown.
function choices(cluster) {
  const standbys = cluster.nodes.filter((node) => node.role === "standby");
  const to = (node) => [`Switch over to ${node.name}`, "switchover", { to: node.name }];
  const pause = cluster.paused
    ? ["Let the monitor act again", "unpause", {}]
    : ["Pause the monitor for an hour", "pause", { seconds: 3600, reason: "paused on the page" }];
  return [
    ...standbys.map(to),
    pause,
    ...cluster.nodes.map((node) => [`Restart ${node.name}`, "restart", { node: node.name }]),
    ...standbys.map((node) => [`Make ${node.name} anew`, "resync", { node: node.name }]),
  ];
}

function showChoices() {
  const cluster = shown.clusters.find((other) => other.name === chosen);
  element("orders").hidden = !token || !cluster;
  if (!token || !cluster) return;
  const select = element("order");
  const offered = choices(cluster).map(([text]) => text);
  if ([...select.options].map((option) => option.text).join("\n") === offered.join("\n")) return;
  select.replaceChildren(...offered.map((text) => make("option", {}, text)));
}

async function order(event) {
  event.preventDefault();
  const cluster = shown.clusters.find((other) => other.name === chosen);
  const [text, path, body] = choices(cluster).find(([offered]) => offered === element("order").value) ?? [];
  if (!text || !confirm(`${text} of cluster ${cluster.name}?`)) return;
  element("ordered").textContent = `${text}: begun`;
  const request = { method: "POST", headers: bearing(), body: JSON.stringify(body) };
  const answer = await fetch(`v1/clusters/${encodeURIComponent(cluster.name)}/${path}`, request);
  const said = await answer.json();
  element("ordered").textContent = `${text}: ${known(said.outcome, said.error)}${said.because ? `: ${said.because}` : ""}`;
}

async function begin() {
  for (let after = 0, more = true; more; ) {
    const answer = await (await fetch(`v1/events?after=${after}`, { headers: bearing() })).json();
    answer.events.forEach(tell);
    more = answer.more;
    after = answer.last;
  }
}

const heard = {
  clusters: (data) => {
    shown = data;
    show();
    showChoices();
  },
  event: tell,
  run: showRun,
  reset: () => {
    told.clear();
    element("events").replaceChildren();
  },
};

// A stream that is read by fetch bears the token, as an EventSource cannot. A message ends with an empty line.
async function listen() {
  for (;;) {
    try {
      const headers = lastEvent === null ? bearing() : { ...bearing(), "Last-Event-ID": lastEvent };
      const answer = await fetch("v1/stream", { headers });
      if (answer.status === 401) throw new Error("The monitor wants its token.");
      if (!answer.ok) throw new Error(`The monitor answers ${answer.status}.`);
      element("connection").textContent = "";
      let rest = "";
      for (const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
        const { value, done } = await reader.read();
        if (done) break;
        const messages = (rest + value).split("\n\n");
        rest = messages.pop();
        messages.forEach(hear);
      }
    } catch (error) {
      const why = error instanceof TypeError ? "The monitor does not answer." : error.message;
      element("connection").textContent = `${why} What is shown is what it said last.`;
    }
    await new Promise((resolve) => setTimeout(resolve, COME_BACK));
  }
}

function hear(message) {
  const fields = new Map(message.split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)));
  if (fields.has("id")) lastEvent = fields.get("id");
  if (fields.has("data")) heard[fields.get("event")]?.(JSON.parse(fields.get("data")));
}

element("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = element("token").value.trim();
  element("token").value = "";
  showChoices();
  if (token) element("order").focus();
});
element("orders").addEventListener("submit", (event) => order(event).catch((error) => {
  element("ordered").textContent = error.message;
}));
addEventListener("resize", show);
const drift = () => lookForDrift().catch(() => {});
setInterval(drift, LOOK_AGAIN);
drift();
begin().catch(() => {}).finally(listen);
