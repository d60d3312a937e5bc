"""Two results beside each other: one sentence, what was asked differently, then what changed and in which causes."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from numasim.results import changes
from numasim.results.changes import Change, Difference, Pair
from numasim.results.distribution import PERCENTILE_ERROR
from numasim.results.figures import count, duration, ns, percent, put, table
from numasim.results.result import Of, Result

MOST_DIFFERENCES = 16  # of the configuration shown; the rest is counted
MOST_CAUSES = 3  # in a sentence: those that changed most
MOST_BESIDE = 2  # beside each percentile
WORTH = 0.05  # of the largest change of a cause: smaller ones are left out
SMALLEST_PERCENT = 0.05  # by which a counter must have changed to be shown
BUSY = 0.0005  # changes of a link's or memory's busy share below this are left out
KINDS: tuple[Of, Of] = ("operation", "access")
PLURALS = {"operation": "operations", "access": "accesses"}


def to_dict(a: Result, b: Result, a_name: str, b_name: str) -> dict[str, Any]:
    """What `numasim diff --json` prints, as plain values; times in ns, changes are b minus a."""
    found = list(changes.pairs(a, b))
    return {
        "a": _about(a, a_name),
        "b": _about(b, b_name),
        "answer": list(answers(a, b)),
        "configuration": [d._asdict() for d in changes.configuration(a, b)],
        "groups": [_plain(pair) for pair in found],
        "only_a": [name for name in a.groups if name not in [p.a for p in found]],
        "only_b": [name for name in b.groups if name not in [p.b for p in found]],
        "counters": [number._asdict() for number in changes.counters(a, b)],
        "counters_per_access": a.access.count != b.access.count,
        "loads": [
            {"name": rate.name, "a_gbps": rate.a, "b_gbps": rate.b, "a_utilisation": busy.a, "b_utilisation": busy.b}
            for rate, busy in changes.loads(a, b)
        ],
        "percentile_error": PERCENTILE_ERROR,
    }


def _about(result: Result, name: str) -> dict[str, Any]:
    title = result.provenance.get("title", "")
    return {"name": name, "title": title, "seed": result.provenance.get("seed"), "partial": result.partial}


def _plain(pair: Pair) -> dict[str, Any]:
    rows: dict[str, Any] = {
        of: None if (found := getattr(pair, of)) is None else [c._asdict() for c in found] for of in KINDS
    }
    return {"a": pair.a, "b": pair.b, "a_counts": pair.a_counts, "b_counts": pair.b_counts, **rows}


# ---- sentences -----------------------------------------------------------------------------------------------------


def answers(a: Result, b: Result) -> Iterator[str]:
    """What changed, in a sentence; one a group if there are several, operations before accesses."""
    for pair in changes.pairs(a, b):
        if pair.access is None and pair.operation is None:
            yield "They cannot be compared: what was counted in one of the two was not in the other."
        for of in KINDS:
            rows = getattr(pair, of)
            if rows is not None:
                many = len(a.groups) > 1 or len(b.groups) > 1
                both = pair.operation is not None and pair.access is not None
                yield _sentence(rows, of, f"{pair.a or 'all together'}: " if many else "", both)


def _sentence(rows: list[Change], of: Of, prefix: str, both: bool) -> str:
    mean, tail = rows[0], next((c for c in reversed(rows) if c.percentile not in (None, 100)), None)
    what = f"{prefix}{PLURALS[of]}: b" if both else f"{prefix}b"
    if mean.change_ns == 0 and all(c.change_ns == 0 for c in rows):
        return f"{what} takes as long as a in the mean and in every percentile, {ns(mean.a_ns)} ns in the mean."
    text = f"{what} is as fast in the mean, {ns(mean.a_ns)} ns"
    if mean.change_ns:
        word = "slower" if mean.change_ns > 0 else "faster"
        share = f" ({percent(abs(mean.change_percent) / 100)})" if mean.change_percent else ""
        text = f"{what} is {ns(abs(mean.change_ns))} ns{share} {word} in the mean{_of_them(mean)}"
    if tail is not None and tail.percentile and tail.percentile > 50:
        text += f"; its {_level(tail)} is {_words(tail)}"
    return text + "."


def _of_them(mean: Change) -> str:
    """`: 51.0 of them are link, 2.10 link_wait`, and what went the other way."""
    sign = 1 if mean.change_ns > 0 else -1
    ranked = _causes(mean)
    along = [f"{ns(abs(value))}{' of them are' if not k else ''} {cause}" for k, (cause, value) in
             enumerate((c, v) for c, v in ranked if v * sign > 0)]  # fmt: skip
    against = [f"{cause} {_signed(value)}" for cause, value in ranked if value * sign < 0]
    return (", " + ", ".join(along) if along else "") + (f" (against it {', '.join(against)})" if against else "")


def _words(change: Change) -> str:
    if change.change_ns == 0 or change.within_resolution:
        return "the same" if change.change_ns == 0 else f"the same within {PERCENTILE_ERROR:.0%}".replace("%", " %")
    share = f" ({percent(abs(change.change_percent) / 100)})" if change.change_percent else ""
    return f"{ns(abs(change.change_ns))} ns{share} {'higher' if change.change_ns > 0 else 'lower'}"


def _causes(change: Change) -> list[tuple[str, float]]:
    """The causes that changed most, and enough to be told from the histogram's error."""
    noise = 0.0 if change.percentile is None else PERCENTILE_ERROR * (change.a_ns + change.b_ns)
    ranked = sorted(change.causes_ns.items(), key=lambda item: -abs(item[1]))[:MOST_CAUSES]
    least = max(noise, WORTH * abs(ranked[0][1]), 0.005)
    return [(cause, value) for cause, value in ranked if abs(value) >= least]


def _signed(value_ns: float) -> str:
    return ("+" if value_ns > 0 else "-") + (ns(abs(value_ns)) if abs(value_ns) < 1e5 else duration(abs(value_ns)))


def _level(change: Change) -> str:
    if change.percentile is None:
        return "mean"
    names = {0.0: "min", 100.0: "max"}
    return names.get(change.percentile, f"p{change.percentile:g}")


# ---- tables --------------------------------------------------------------------------------------------------------


def show(a: Result, b: Result, a_name: str, b_name: str, out: Console) -> None:
    """Print it; fits 80 columns."""
    for line in answers(a, b):
        out.print(Text(line, style="bold"))
    for letter, name, result in (("a", a_name, a), ("b", b_name, b)):
        out.print(Text(f"{letter}: {name}: {result.provenance.get('title', '')}".rstrip(": "), style="dim"))
        if result.partial:
            out.print(Text(f"{letter} was stopped before its end.", style="yellow"))
    out.print()
    differences = changes.configuration(a, b)
    put(_configuration(differences), out)
    for line in _notes(a, b, differences):
        out.print(Text(line, style="dim"))
    for section in [*_tables(a, b), _counters(a, b), _loads(a, b)]:
        if section.row_count:
            out.print()
            put(section, out)


def _configuration(differences: list[Difference]) -> Table:
    if not differences:
        return Table(title=Text("Both were asked for the same.", style="bold"))
    found = table("What was asked for differently", "", last="a")
    found.add_column("b", overflow="fold")
    for difference in differences[:MOST_DIFFERENCES]:
        found.add_row(difference.what, _value(difference.a), _value(difference.b))
    if len(differences) > MOST_DIFFERENCES:
        found.add_row(f"{len(differences) - MOST_DIFFERENCES} more: see --json", "", "")
    return found


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "-" if value is None or value == "" else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _tables(a: Result, b: Result) -> Iterator[Table]:
    """Latencies of each pair of groups, if anything changed in them."""
    for pair in changes.pairs(a, b):
        for of in KINDS:
            if any(change.change_ns for change in getattr(pair, of) or ()):
                yield _latencies(pair, of)


def _notes(a: Result, b: Result, differences: list[Difference]) -> Iterator[str]:
    """How far the figures can be trusted, and what could not be compared."""
    if any(difference.what == "seed" for difference in differences):
        yield "The seeds differ: a part of what follows is luck. The same seed gives the same run."
    found = changes.matched(a, b)
    rows = [c for pair in changes.pairs(a, b) for of in KINDS for c in getattr(pair, of) or ()]
    if any(change.within_resolution for change in rows):
        within = f"{PERCENTILE_ERROR:.0%}".replace("%", " %")
        yield f"Means and extremes are exact, a percentile is within {within}: ~0 is too little to tell."
    if found == [("", "")]:
        yield "No group of one is in the other: all groups of each are taken together."
        return
    for letter, names, mine in (("a", a.groups, [p[0] for p in found]), ("b", b.groups, [p[1] for p in found])):
        alone = [name for name in names if name not in mine]
        if alone:
            yield f"Only in {letter}: {', '.join(alone)}."


def _latencies(pair: Pair, of: Of) -> Table:
    names = (pair.a or "all groups") if pair.a == pair.b else f"{pair.a} | {pair.b}"
    found = table(f"An {of} of {names}", "ns", "a", "b", "change", "%", last="mostly")
    for change in getattr(pair, of):
        causes = "  ".join(f"{cause} {_signed(value)}" for cause, value in _causes(change)[:MOST_BESIDE])
        shown = ("~0", "") if change.within_resolution else _by(change)
        found.add_row(_level(change), _ns(change.a_ns), _ns(change.b_ns), *shown, causes)
    counted = [count(counts[of]) for counts in (pair.a_counts, pair.b_counts)]
    found.add_row("count", *counted, "", "", "", style="dim")
    return found


def _by(change: Change) -> tuple[str, str]:
    if change.change_ns == 0:
        return "0", ""
    share = change.change_percent
    return _signed(change.change_ns), "" if share is None else _percent(share)


def _percent(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 1000 else f"{value:+.1f}"


def _ns(value: float) -> str:
    return ns(value) if value < 1e5 else duration(value)


def _counters(a: Result, b: Result) -> Table:
    per = "" if a.access.count == b.access.count else ", an access"
    found = table(f"Counters that changed{per}", "event", "a", "b", "%")
    for number in changes.counters(a, b):
        figures = [f"{x:.4g}" if per else count(x) for x in (number.a, number.b)]
        share = 100 * (number.b / number.a - 1) if number.a else None
        if share is None or abs(share) >= SMALLEST_PERCENT:
            found.add_row(number.name, *figures, "new" if share is None else _percent(share))
    return found


def _loads(a: Result, b: Result) -> Table:
    found = table("Links and memory that changed", "", "a GB/s", "b GB/s", "a busy", "b busy")
    for rate, busy in changes.loads(a, b):
        if abs(busy.b - busy.a) >= BUSY or (busy.a == busy.b == 0 and rate.a != rate.b):
            found.add_row(rate.name, f"{rate.a:.2f}", f"{rate.b:.2f}", percent(busy.a), percent(busy.b))
    return found
