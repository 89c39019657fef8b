#!/usr/bin/env python3
"""Rules for plans: simdb plan -policy-command 'python3 review.py'

simdb writes the plan's document to standard input (its schema: simdb metadata plan -json). Each rule that is broken is a line;
with at least one, the plan is refused with these lines. The same rules can be written for conftest and OPA.
"""

import json
import sys

IMPACTS = ["none", "reload", "restart", "write-pause", "downtime", "data-loss"]
WORST = "write-pause"


def databases_stay(plan):
    """No database is dropped while its cluster stays."""
    gone = {c["cluster"] for c in plan["resource_changes"] if c["type"] == "cluster" and c["change"]["after"] is None}
    for change in plan["resource_changes"]:
        if change["type"] == "database" and change["change"]["actions"] == ["delete"] and change["cluster"] not in gone:
            yield f"{change['address']} is dropped: data is moved away first"


def new_clusters_have_standbys(plan):
    """A cluster is born with a standby."""
    created = [c for c in plan["resource_changes"] if c["change"]["actions"] == ["create"]]
    for cluster in (c["cluster"] for c in created if c["type"] == "cluster"):
        if sum(c["type"] == "node" and c["cluster"] == cluster for c in created) == 1:
            yield f"cluster.{cluster} has one node: a production cluster has a standby"


def impact_is_bearable(plan):
    """What interrupts writes for long is done by hand, in a window."""
    for step in plan["steps"]:
        if IMPACTS.index(step["impact"]) > IMPACTS.index(WORST):
            yield f"step {step['id']}, {step['name']} of {step['address']}, costs {step['impact']}"


def everything_was_compared(plan):
    """Nothing unknown is changed."""
    for unknown in plan["not_compared"]:
        yield f"{unknown['address']} could not be compared: {unknown['reason']}"


RULES = [databases_stay, new_clusters_have_standbys, impact_is_bearable, everything_was_compared]

if __name__ == "__main__":
    document = json.load(sys.stdin)
    broken = [line for rule in RULES for line in rule(document)]
    print("\n".join(broken))
    sys.exit(1 if broken else 0)
