"""Changes of a large configuration: 10,000 servers in 1,000 pools, through the admin API."""

import json
import math
import statistics
import time

from balancer import started

POOLS = 1_000
SERVERS_PER_POOL = 10
# How many servers change, and how that is written: an edit of an object, or the whole document.
CHANGES = [
    ("one server, as an edit", 1, "edit"),
    ("one server", 1, "document"),
    ("1 % of the servers", POOLS * SERVERS_PER_POOL // 100, "document"),
    ("every server", POOLS * SERVERS_PER_POOL, "document"),
]
PLAN_MAX_MS, APPLY_MAX_MS, PAUSE_MAX_MS = 200, 150, 1


def measure(program, rounds):
    """The figures of each change: milliseconds of each round, and the longest pause of a worker."""
    results = []
    with started(program, large_document()) as api:
        document = api.read("/config")
        for title, count, form in CHANGES:
            figures = {"change": title, "plan_ms": [], "apply_ms": [], "pause_ms": []}
            for number in range(rounds):
                change = changed(document, count, form, number)
                body = json.dumps({"change": change})
                plan, spent = api.timed("/plan", body)
                if len(plan["plan"]["changes"]) != count:
                    raise SystemExit(f"error: the plan of {title} is {plan['plan']}")
                figures["plan_ms"].append(spent)
                before = api.pauses()
                _, spent = api.timed("/apply", body)
                figures["apply_ms"].append(spent)
                # What is left of the former configuration is put away after the answer.
                time.sleep(0.2)
                figures["pause_ms"].append(longest(before, api.pauses()))
            results.append(figures)
    return results


def changed(document, count, form, number):
    """A change of the weights of `count` servers, spread over the pools; the document is changed too."""
    every = POOLS * SERVERS_PER_POOL // count
    for index in range(0, POOLS * SERVERS_PER_POOL, every):
        pool, server = f"p{index // SERVERS_PER_POOL}", f"s{index % SERVERS_PER_POOL}"
        found = document["pools"][pool]["servers"][server]
        found["weight"] = found.get("weight", 100) % 1000 + 1
        last = (f"pools/{pool}/servers/{server}", found["weight"])
    if form == "edit":
        return {"edits": [{"patch": {"path": last[0], "value": {"weight": last[1]}}}]}
    return {"document": document}


def large_document():
    """A virtual service with a rule for each pool."""
    text = ['[virtual_services.shop]\naddress = "127.0.0.1:0"\npool = "p0"']
    for pool in range(POOLS):
        text.append(
            f'[[virtual_services.shop.rules]]\nname = "r{pool}"\n'
            f'match = {{ path = {{ prefix = "/{pool}/" }} }}\naction = {{ pool = "p{pool}" }}'
        )
    for pool in range(POOLS):
        text.append(f"[pools.p{pool}.servers]")
        for server in range(SERVERS_PER_POOL):
            address = f"10.{server}.{pool // 250}.{pool % 250 + 1}:80"
            text.append(f's{server} = {{ address = "{address}" }}')
    return "\n".join(text) + "\n"


def longest(before, after):
    """The bound below which every pause between two looks was."""
    new = {bound: count - before.get(bound, 0) for bound, count in after.items()}
    total = new.get(math.inf, 0)
    return min((bound for bound, count in new.items() if count >= total), default=math.inf)


def markdown(results):
    """The table."""
    lines = [
        f"Changes of {POOLS * SERVERS_PER_POOL:,} servers in {POOLS:,} pools through the admin API,"
        f" {len(results[0]['plan_ms'])} rounds: milliseconds from the request to the answer, median"
        " (lowest to highest), and the bound below which every pause of a worker was.",
        "",
        f"| | plan, ≤ {PLAN_MAX_MS} | apply, ≤ {APPLY_MAX_MS} | longest pause, ≤ {PAUSE_MAX_MS} | |",
        "|---|---:|---:|---:|---|",
    ]
    for figures in results:
        plan, apply = figures["plan_ms"], figures["apply_ms"]
        pause = max(figures["pause_ms"])
        met = (
            statistics.median(plan) <= PLAN_MAX_MS
            and statistics.median(apply) <= APPLY_MAX_MS
            and pause <= PAUSE_MAX_MS
        )
        cells = [figures["change"], spread(plan), spread(apply), f"{pause:g}"]
        lines.append("| " + " | ".join(cells) + f" | {'met' if met else '**missed**'} |")
    return "\n".join(lines)


def spread(values):
    """The median, and the range."""
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"
