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
        lines.append(row(proxies, case, results, judged=not args.smoke))
    lines.append("")
    lines.append(
        "Microseconds of CPU time for each request, or bytes of memory for each connection: median of"
        " the rounds (lowest to highest). The ratios are medians of the ratios of each round."
    )
    return "\n".join(lines)


def heading(args, proxies):
    """What was measured, when and on what."""
    date = datetime.date.today().isoformat()
    versions = ", ".join(f"{proxy.title} {proxy.version()}" for proxy in proxies)
    machine = f"{processor()}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}"
    rounds = f"{args.rounds} × {args.seconds} s, {args.idle:,} idle connections"
    return f"{date}: {versions}; {machine}; {rounds}."


def processor():
    """The name of the processor."""
    with open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def row(proxies, case, results, judged):
    """One case: every proxy, the ratios and, if that means something, whether lbctl meets the bar."""
    rounds = {proxy.name: figures(results, case, proxy.name) for proxy in proxies}
    cells = []
    for proxy in proxies:
        values = rounds[proxy.name]
        if not values:
            cells.append("-")
            continue
        errors = sum(r["errors"] for r in results if is_of(r, case, proxy.name))
        cells.append(
            f"{number(statistics.median(values))} ({number(min(values))} to {number(max(values))}),"
            + (f" **{errors} errors**" if errors else " 0 errors")
        )
    ratios = {other: ratio(rounds, other) for other in ("haproxy", "nginx")}
    cells += [f"{r:.2f}" if r else "" for r in ratios.values()]
    cells += bar(case, rounds, ratios) if judged else ["", ""]
    return f"| {case.title} | " + " | ".join(cells) + " |"


def is_of(result, case, name):
    """Whether a result is of this case and proxy."""
    return result["case"] == case.name and result["proxy"] == name


def figures(results, case, name):
    """The figures of a proxy in a case, round by round."""
    return [result["value"] for result in results if is_of(result, case, name)]


def number(value):
    """Three significant digits for times, whole bytes for memory."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def ratio(rounds, other):
    """What lbctl takes of what another takes: the median of the rounds' ratios, as what disturbs a
    round disturbs both."""
    if not rounds.get("lbctl") or not rounds.get(other):
        return None
    pairs = zip(rounds["lbctl"], rounds[other], strict=True)
    return statistics.median(own / max(theirs, 0.001) for own, theirs in pairs)


def bar(case, rounds, ratios):
    """What lbctl must meet, and whether it does."""
    demands = []
    for other, title, most in [
        ("haproxy", "HAProxy", case.haproxy_max),
        ("nginx", "NGINX", case.nginx_max),
    ]:
        if most is not None:
            met = None if ratios[other] is None else ratios[other] <= most
            demands.append((f"≤ {most:.2f} {title}", met))
    if case.bytes_max is not None:
        own = rounds.get("lbctl")
        met = None if own is None else statistics.median(own) <= case.bytes_max
        demands.append((f"≤ {case.bytes_max:,} bytes", met))
    text = ", ".join(demand for demand, _ in demands)
    if not demands:
        return [text, "no bar"]
    if any(met is None for _, met in demands):
        return [text, ""]
    return [text, "met" if all(met for _, met in demands) else "**missed**"]


def failures(cases, results):
    """What went wrong, whatever the speed: errors, and responses that are not whole."""
    found = []
    for result in results:
        case = next(case for case in cases if case.name == result["case"])
        where = f"{result['proxy']}, {case.title}, round {result['round']}"
        if result["errors"]:
            found.append(f"{where}: {result['errors']} errors in {result['requests']} requests")
        if result["requests"] < (1 if case.bulky else 100):
            found.append(f"{where}: only {result['requests']} requests were answered")
        if result.get("bytes_per_response", case.response_bytes) < case.response_bytes:
            found.append(f"{where}: responses of {result['bytes_per_response']} bytes are not whole")
    return found
