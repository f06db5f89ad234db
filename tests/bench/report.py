"""The table of a run, with the bars that lbctl must meet."""

import datetime
import os
import platform
import statistics


def markdown(args, proxies, cases, results):
    """The table in Markdown."""
    lines = [heading(args, proxies), ""]
    names = [proxy.title for proxy in proxies]
    lines.append("| | " + " | ".join(names) + " | of HAProxy | of NGINX | bar | |")
    lines.append("|---|" + "---:|" * (len(names) + 2) + "---|---|")
    for case in cases:
        lines.append(row(proxies, case, results))
    lines.append("")
    lines.append(
        "Microseconds of CPU time for each request, memory in bytes for each connection: median"
        " (lowest to highest)."
    )
    return "\n".join(lines)


def heading(args, proxies):
    """What was measured, when and on what."""
    date = datetime.date.today().isoformat()
    versions = ", ".join(f"{proxy.title} {proxy.version()}" for proxy in proxies)
    machine = f"{processor()}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}"
    rounds = f"{args.rounds} rounds of {args.seconds} s, {args.idle:,} idle connections"
    return f"{date}: {versions}; {machine}; {rounds}."


def processor():
    """The name of the processor."""
    with open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def row(proxies, case, results):
    """One case: every proxy, the ratios and whether lbctl meets the bar."""
    cells, medians = [], {}
    for proxy in proxies:
        taken = [r for r in results if r["case"] == case.name and r["proxy"] == proxy.name]
        values = [r["value"] for r in taken]
        errors = sum(r["errors"] for r in taken)
        medians[proxy.name] = statistics.median(values)
        cells.append(
            f"{number(medians[proxy.name])} ({number(min(values))} to {number(max(values))})"
            + (f", **{errors} errors**" if errors else ", 0 errors")
        )
    cells.append(ratio(medians, "haproxy"))
    cells.append(ratio(medians, "nginx"))
    cells += bar(case, medians)
    return f"| {case.title} | " + " | ".join(cells) + " |"


def number(value):
    """Three significant digits for times, whole bytes for memory."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def ratio(medians, other):
    """What lbctl takes of what another takes."""
    if "lbctl" not in medians or not medians.get(other):
        return ""
    return f"{medians['lbctl'] / medians[other]:.2f}"


def bar(case, medians):
    """What lbctl must meet, and whether it does."""
    demands = []
    for other, title, most in [
        ("haproxy", "HAProxy", case.haproxy_max),
        ("nginx", "NGINX", case.nginx_max),
    ]:
        if most is not None:
            text = f"≤ {most:.2f} {title}"
            met = "lbctl" in medians and medians["lbctl"] <= most * medians.get(other, 0)
            demands.append((text, met, other in medians))
    if case.bytes_max is not None:
        demands.append(
            (f"≤ {case.bytes_max:,} bytes", medians.get("lbctl", 0) <= case.bytes_max, True)
        )
    text = ", ".join(demand for demand, _, _ in demands)
    if "lbctl" not in medians or not all(known for _, _, known in demands):
        return [text, ""]
    return [text, "met" if all(met for _, met, _ in demands) else "**missed**"]


def failures(cases, results):
    """What went wrong, whatever the speed: errors, and responses that are not whole."""
    found = []
    for result in results:
        case = next(case for case in cases if case.name == result["case"])
        where = f"{result['proxy']}, {case.title}, round {result['round']}"
        if result["errors"]:
            found.append(f"{where}: {result['errors']} errors in {result['requests']} requests")
        if result["requests"] < 100:
            found.append(f"{where}: only {result['requests']} requests were answered")
        if result.get("bytes_per_response", case.response_bytes) < case.response_bytes:
            found.append(f"{where}: responses of {result['bytes_per_response']} bytes are not whole")
    return found
