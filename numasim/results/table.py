"""What `numasim run` prints: a sentence, then latencies, causes, counters, links, memory, and the run's own cost."""

import math
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from numasim.results.distribution import Distribution
from numasim.results.figures import bar, count, duration, largest, ns, percent, put, rate, slowest, sparkline, table
from numasim.results.result import Group, Result

TAIL = 99.9  # percentile whose causes stand beside those of all
SMALL = 0.0005  # causes below this share of all, and of the tail, share one line
MOST_GROUPS = 6  # whose causes are shown; the rest is in the JSON
SPARK = 24  # characters of utilisation over time


def show(result: Result, out: Console) -> None:
    """Print a result; fits 80 columns."""
    title = result.provenance.get("title")
    if title:
        out.print(Text(str(title), style="bold"))
    if result.partial:
        out.print(Text("Stopped before its end: what follows is the part that was simulated.", style="yellow"))
    for line in headlines(result):
        out.print(Text(line))
    for note in result.provenance.get("notes", ()):
        out.print(Text(str(note), style="dim"))
    for section in sections(result, out):
        out.print()
        put(section, out)
    out.print()
    out.print(Text(cost(result)))


def sections(result: Result, out: Console) -> Iterator[Table]:
    """The tables, without those that hold nothing; out: what their bars are made for. One of no columns is a remark."""
    groups = list(result.groups.values())
    found = [_latencies(result, groups), *_where(groups, out), _counters(result), *_bandwidths(groups)]
    for section in (*found, *_links(result, out), _memory(result, out)):
        if section.row_count or not section.columns:
            yield section


def headlines(result: Result) -> Iterator[str]:
    """The answer in a sentence; one a group if there are several."""
    for group in result.groups.values():
        prefix = f"{group.name}: " if len(result.groups) > 1 else ""
        for what, latencies in (("operation", group.operation), ("access", group.access)):
            if latencies is not None and latencies.count:
                yield prefix + _sentence(what, latencies)
    if not result.access.count:
        yield "Nothing was counted."


def _sentence(what: str, latencies: Distribution) -> str:
    causes = [f"{share:.0%} of it is {cause}".replace("%", " %") for cause, share in largest(latencies.stack_ns)]
    text = f"An {what} takes {ns(latencies.mean_ns)} ns on average"
    if latencies.count >= 1000:
        text += f", one in a thousand {ns(latencies.percentile(TAIL))} ns or more"
    return text + (f"; {' and '.join(causes)}." if causes else ".").replace(" and ", ", ", len(causes) - 2)


def cost(result: Result) -> str:
    """How much was simulated and how fast: the last line."""
    host, raw = result.host, result.raw
    text = (
        f"Simulated {count(raw.accesses_simulated)} accesses ({count(result.access.count)} counted, "
        f"{duration(result.simulated_ns)} of the machine's time) in {host.cpu_s:.2f} s of CPU: "
        f"{rate(host.accesses_per_cpu_s)} accesses a CPU second"
    )
    return text + (f", {count(host.peak_rss_bytes / 2**20)} MiB at most." if host.peak_rss_bytes else ".")


def _latencies(result: Result, groups: list[Group]) -> Table:
    found = table("Latency", "ns", "mean", "p50", "p90", "p99", "p99.9", "max", "count")
    parts = [("", result.access, result.operation)] if len(groups) <= 1 else []
    parts += [(f"{g.name} ", g.access, g.operation) for g in groups if len(groups) > 1]
    for prefix, access, operation in parts:
        for what, latencies in (("access", access), ("operation", operation)):
            if latencies is not None and latencies.count:
                values = [latencies.mean_ns, *map(latencies.percentile, (50, 90, 99, 99.9)), latencies.max_ns]
                if latencies.count == 1:  # it is all of these
                    values[1:] = [math.nan] * 5
                shown = ["" if math.isnan(v) else ns(v) if v < 1e5 else duration(v) for v in values]
                row = [*shown, count(latencies.count)]
                found.add_row(prefix + what, *row)
    return found


def _where(groups: list[Group], out: Console) -> Iterator[Table]:
    for group in groups[:MOST_GROUPS]:
        of = f" of {group.name}" if len(groups) > 1 else ""
        for what, latencies in (("operation", group.operation), ("access", group.access)):
            if latencies is not None and latencies.count:
                yield _stack(f"Where the time went, an {what}{of}", latencies, out)
    if len(groups) > MOST_GROUPS:
        yield Table(title=Text(f"({len(groups) - MOST_GROUPS} more groups: see --json)"))


def _stack(title: str, latencies: Distribution, out: Console) -> Table:
    slow, width = slowest(TAIL, latencies.count), min(40, max(0, out.width - 58))
    found = table(title, "cause", "mean ns", "share")
    found.add_column("", width=width, no_wrap=True)
    found.add_column(f"{slow}, ns", justify="right")
    found.add_column("share", justify="right")
    mean, tail = latencies.stack_ns, latencies.tail_stack_ns(TAIL)
    total, tail_total = sum(mean.values()) or 1.0, sum(tail.values()) or 1.0
    small = {c for c in mean if mean[c] < SMALL * total and tail[c] < SMALL * tail_total}
    for cause in sorted(set(mean) - small, key=lambda c: (-mean[c], c)):
        share = mean[cause] / total
        shares = percent(share), bar(share, width, out)
        found.add_row(cause, ns(mean[cause]), *shares, ns(tail[cause]), percent(tail[cause] / tail_total))
    rest = [sum(stack[c] for c in small) for stack in (mean, tail)]
    if any(rest):
        found.add_row("other", ns(rest[0]), percent(rest[0] / total), "", ns(rest[1]), percent(rest[1] / tail_total))
    found.add_row("sum", ns(sum(mean.values())), "", "", ns(sum(tail.values())), "", style="bold")
    return found


def _counters(result: Result) -> Table:
    found = table("Counters (those at zero left out)", "event", "count", "an access")
    for event, number in result.counters.items():
        if number:
            found.add_row(event, count(number), f"{number / max(result.access.count, 1):.4g}")
    return found


def _bandwidths(groups: list[Group]) -> Iterator[Table]:
    if len(groups) > 1:
        found = table("Moved by group", "group", "read GB/s", "written GB/s")
        for group in groups:
            found.add_row(group.name, f"{group.read_gbps:.2f}", f"{group.write_gbps:.2f}")
        yield found


def _links(result: Result, out: Console) -> Iterator[Table]:
    busy = [link for link in result.links if link.gbps]
    idle = len(result.links) - len(busy)
    if busy:
        more = f" ({idle} more idle)" if idle else ""
        found = table(f"Links{more}", "from -> to", "GB/s", "busy", last="over time")
        for link in busy:
            ends = f"{link.source} -> {link.target} ({link.link})"
            series = sparkline(link.series.tolist(), SPARK, out)
            found.add_row(ends, f"{link.gbps:.2f}", percent(link.utilisation), series)
        yield found


def _memory(result: Result, out: Console) -> Table:
    found = table("Memory", "node", "read GB/s", "written GB/s", "busy", last="over time")
    for node in result.memory:
        series = sparkline(node.series.tolist(), SPARK, out) if node.utilisation else ""
        rates = f"{node.read_gbps:.2f}", f"{node.write_gbps:.2f}"
        found.add_row(str(node.node), *rates, percent(node.utilisation), series)
    return found
