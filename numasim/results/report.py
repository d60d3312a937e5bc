"""What the tail of a result is made of: overall, by group, by call site and by region."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from numasim.errors import UserError
from numasim.results.figures import MEANING, count, largest, ns, percent, put, slowest, table
from numasim.results.result import By, Of, Result, TailRow

SMALL = 0.0005  # causes below this share are left out
MOST_ROWS = 12  # call sites or regions shown; the rest is summed in one row


def parse_above(text: str) -> float:
    """A percentile as people write it: p99.9, P99.9 or 99.9. Raises UserError."""
    try:
        value = float(text.strip().lower().removeprefix("p"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise UserError(f"{text!r} is no percentile", "--above", "p99.9, p50, 99, ... from 0 to 100")
    return value


def parse_of(text: str) -> Of:
    """Whose latencies: access or operation. Raises UserError."""
    words: dict[str, Of] = {"access": "access", "operation": "operation"}
    if text not in words:
        raise UserError(f"{text!r} is neither", "--of", "access or operation")
    return words[text]


def to_dict(result: Result, above: float, group: str | None = None, of: Of = "access") -> dict[str, Any]:
    """The report as plain values: the tail as a whole, then its rows by group, site, region, and all three."""
    whole = result.distribution(of, group)
    splits: list[By] = ["group"] if of == "operation" else ["group", "site", "region"]
    return {
        "of": of,
        "group": group,
        "above": above,
        "from_ns": _known(whole.tail_from_ns(above)),
        "count": whole.tail_count(above) if whole.count else 0,
        "of_count": whole.count,
        "tail": [row._asdict() for row in result.tail(above, group, of, ())],
        **{f"by_{by}": [row._asdict() for row in result.tail(above, group, of, (by,))] for by in splits},
        "rows": [row._asdict() for row in result.tail(above, group, of)],
    }


def show(result: Result, above: float, out: Console, group: str | None = None, of: Of = "access") -> None:
    """Print the report; fits 80 columns. Raises UserError for an unknown group, or operations there are none of."""
    whole = result.distribution(of, group)
    if result.provenance.get("title"):
        out.print(Text(str(result.provenance["title"]), style="bold"))
    if not whole.count:
        out.print(Text("Nothing was counted."))
        return
    tail = result.tail(above, group, of, ())[0]
    plural = {"access": "accesses", "operation": "operations"}[of]
    whose = f" of {group}" if group else ""
    words = slowest(above, whole.count)
    of_all = f"{count(whole.tail_count(above))} of {count(whole.count)} {plural}"
    means = f"{ns(tail.mean_ns)} ns on average (all: {ns(whole.mean_ns)} ns)"
    out.print(Text(f"The {words}{whose}: {of_all}, from {ns(whole.tail_from_ns(above))} ns up, {means}."))
    for cause, share in largest(tail.stack_ns, 1):
        out.print(Text(f"{percent(share)} of their time is {cause}: {MEANING.get(cause, 'no description')}."))
    sections = [_causes(tail, whole.stack_ns, words)]
    if len(result.groups) > 1 and group is None:
        sections.append(_rows("By group", result.tail(above, group, of, ("group",)), "group"))
    if of == "access":
        sections.append(_rows("By call site", result.tail(above, group, of, ("site",)), "site"))
        sections.append(_rows("By region", result.tail(above, group, of, ("region",)), "region"))
    for section in sections:
        out.print()
        put(section, out)


def _causes(tail: TailRow, everything: dict[str, float], words: str) -> Table:
    found = table("What their time is made of", "cause", f"{words}, ns", "share", "all, ns", last="what it is")
    for cause, value in sorted(tail.stack_ns.items(), key=lambda item: -item[1]):
        if value >= SMALL * tail.mean_ns and value > 0:
            what = MEANING.get(cause, "")
            found.add_row(cause, ns(value), percent(value / tail.mean_ns), ns(everything[cause]), what)
    found.add_row("sum", ns(tail.mean_ns), "", ns(sum(everything.values())), "", style="bold")
    return found


def _rows(title: str, rows: list[TailRow], by: By) -> Table:
    found = table(title, by, "of these", "of all", "mean ns", last="mostly")
    for row in rows[:MOST_ROWS]:
        mostly = ", ".join(f"{cause} {share:.0%}" for cause, share in largest(row.stack_ns, 2))
        found.add_row(str(getattr(row, by)), percent(row.share), percent(row.share_of_all), ns(row.mean_ns), mostly)
    rest = rows[MOST_ROWS:]
    if rest:
        shares = percent(sum(row.share for row in rest)), percent(sum(row.share_of_all for row in rest))
        mean = sum(row.mean_ns * row.samples for row in rest) / sum(row.samples for row in rest)
        found.add_row(f"{len(rest)} others", *shares, ns(mean), "")
    return found


def _known(value: float) -> float | None:
    return None if value != value else value
