"""Numbers, bars and words as the terminal shows them; shared by the table of a run and the report on its tail."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

MEANING = {
    "l1": "first-level cache",
    "l2": "second-level cache",
    "l3": "last-level cache look-up",
    "split": "second line of an access across two lines",
    "tlb_walk": "translating the address: TLBs and page walks",
    "fill_wait": "waiting for a free line fill buffer",
    "fabric": "on-die mesh and home agents",
    "link_wait": "waiting for a busy link",
    "link": "crossing links between sockets or to a memory",
    "memory_wait": "waiting for a memory bank or bus",
    "memory": "memory itself",
    "refresh": "waiting for a refresh of memory",
    "coherence": "another core's cache: snoops, transfers, invalidations",
    "lock_wait": "waiting for a lock, or for an atomic on the same line",
    "os": "the operating system: timer ticks, faults",
    "branch": "wrongly guessed branches",
    "compute": "instructions between accesses",
}
"""What each cause is, in a phrase."""

_PARTS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"


class _Console(Console):
    """rich's own would exit with 1 when nobody reads any more: what becomes of that is for the command line to say."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(file: IO[str] | None = None, width: int | None = None) -> Console:
    """A console that prints names as they are: no markup, no emoji, no guessed colours. file None: stdout."""
    return _Console(file=file, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def ns(value: float) -> str:
    """Nanoseconds with about four digits: 1.61, 142.7, 12,345."""
    if math.isnan(value):
        return "-"
    if value == 0:
        return "0"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def percent(share: float) -> str:
    """A share of 1 as 71 %, 4.2 %, <0.1 %, 0 %."""
    value = 100 * share
    if value < 0.05:
        return "<0.1 %" if value > 0 else "0 %"
    return f"{value:.1f} %" if value < 9.95 else f"{value:.0f} %"


def duration(value_ns: float) -> str:
    """A stretch of time in the unit that suits it: 950 ns, 142.7 us, 1.2 s."""
    for limit, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if value_ns >= limit:
            return f"{value_ns / limit:.4g} {unit}"
    return f"{value_ns:.4g} ns"


def count(value: float) -> str:
    """1,234,567; a broken count is rounded."""
    return f"{round(value):,}"


def rate(value: float) -> str:
    """A rate with its prefix: 4.41 M, 312 k, 87."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= 0.9995 * limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def bar(share: float, width: int, out: Console) -> str:
    """A bar for a share of 1; blocks where the terminal knows them, else #."""
    filled = min(max(share, 0.0), 1.0) * width
    if not _has_blocks(out):
        return "#" * round(filled)
    return ("█" * int(filled) + _PARTS[int(filled % 1 * 8)]).rstrip()


def sparkline(series: Sequence[float], width: int, out: Console) -> str:
    """Shares of 1 over time, averaged into at most `width` characters; empty where the terminal has no blocks."""
    if not len(series) or not _has_blocks(out):
        return ""
    cells = min(width, len(series))
    cuts = [round(i * len(series) / cells) for i in range(cells + 1)]
    means = [sum(series[a:b]) / (b - a) for a, b in pairwise(cuts)]
    return "".join(_LEVELS[min(7, max(0, int(mean * 8)))] for mean in means)


def slowest(above: float, samples: int) -> str:
    """Words for the tail above a percentile: 'slowest 0.1 %', or 'slowest' if that is a single sample."""
    share = float(f"{100 - above:.6g}")
    return f"slowest {share:g} %" if samples * share >= 100 and share > 0 else "slowest"


def largest(stack: Mapping[str, float], how_many: int = 2) -> list[tuple[str, float]]:
    """The causes most time goes to, each with its share of the stack."""
    total = sum(stack.values())
    ranked = sorted(stack.items(), key=lambda item: -item[1])[:how_many]
    return [(cause, value / total) for cause, value in ranked if total > 0 and value > 0]


def table(title: str, first: str, *numbers: str, last: str = "") -> Table:
    """A table without lines: a column of names, right-aligned columns of numbers, perhaps a column of anything.

    The title stands above the first column, as its heading does.
    """
    made = Table(box=None, title=Text(title, style="bold"), title_justify="left", pad_edge=False, header_style="dim")
    made.add_column(first, overflow="fold")
    for heading in numbers:
        made.add_column(heading, justify="right", no_wrap=True)
    if last:
        made.add_column(last, overflow="fold")
    return made


def put(found: Table, out: Console) -> None:
    """Print a table below its title, which may be wider than the table: rich would wrap it."""
    title, found.title = found.title, None
    if title:
        out.print(title)
    if found.columns:
        out.print(found)


def _has_blocks(out: Console) -> bool:
    return out.encoding.lower().startswith("utf")
