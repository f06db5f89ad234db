"""200 changes of every kind in a minute under load, and what became of the clients.

The work is done by `lb-churn` of the tests, which is built beside lbctl.
"""

import json
import os
import pathlib
import subprocess


def run(program, smoke):
    """Prints what was seen, and gives what went wrong: never that it took long."""
    churn = pathlib.Path(program).with_name("lb-churn")
    if not churn.exists():
        return [f"{churn} is missing: `cargo build --release -p lb-tests` makes it"]
    changes, seconds, streams = (30, 6, 100) if smoke else (200, 60, 500)
    command = [churn, str(changes), str(seconds), str(streams)]
    environment = dict(os.environ, LBCTL=program)
    done = subprocess.run(
        command, env=environment, text=True, capture_output=True, timeout=seconds + 120
    )
    if done.returncode != 0:
        return [f"changes under load: {done.stderr[-4000:]}"]
    seen = json.loads(done.stdout.splitlines()[-1])
    print(markdown(seen, streams), flush=True)
    return failures(seen)


def markdown(seen, streams):
    """What was seen, as a list."""
    before, after = seen["memory_before"], seen["memory_after"]
    named = ", ".join(
        f"{sort}: planned {one['planned']}, open {one['open']}, ended {one['ended']}"
        for sort, one in seen["named"].items()
    )
    lines = [
        f"{seen['revisions']} changes of {seen['kinds']} kinds in {seen['seconds']:.1f} s,"
        f" {streams} WebSockets and {streams} TCP connections open:",
        "",
        f"- requests: {seen['requests']:,}, failed {seen['failures']}",
        f"- connections that no plan named: closed {seen['lost']}",
        f"- connections that a plan named: {named}",
        f"- the slowest change took {seen['longest_change_ms']:.0f} ms, from the command to its answer",
        f"- memory: {before / 1e6:.2f} MB before, {after / 1e6:.2f} MB after"
        f" ({100 * (after - before) / before:+.1f} %)",
        f"- configurations in memory at the end: {seen['configurations']:g}",
        f"- pauses of workers: below {seen['pause_below_ms']:g} ms",
        "",
    ]
    return "\n".join(lines)


def failures(seen):
    """What must not be, on any machine."""
    found = []
    if seen["failures"]:
        found.append(f"changes under load: {seen['failures']} requests failed")
    if seen["lost"]:
        found.append(f"changes under load: {seen['lost']} connections that no plan named were closed")
    if seen["configurations"] != 1:
        found.append(f"changes under load: {seen['configurations']} configurations are in memory")
    return found
