"""Source lines with what they cost, where call sites say "function file:line" and the file is on this computer."""

import re
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

from numasim.results.figures import largest, ns, percent
from numasim.results.page.markup import headings, name, table, tag, wide
from numasim.results.page.places import places
from numasim.results.result import Result

MOST_FILES, MOST_LINES = 8, 120  # shown, and shown of one file
AROUND = 3  # lines before and after one that costs something
LARGEST_BYTES = 4 << 20
LONGEST = 240  # characters of a line
# A result may come from anybody: of a file it names, only what looks like a program's source is put into a page.
SOURCE = re.compile(
    r"\.(c|cc|cpp|cxx|c\+\+|h|hh|hpp|hxx|ipp|tcc|inl|go|rs|py|pyx|java|kt|js|ts|cs|f|f90|jl|zig|s|S|asm)$"
)
_AT = re.compile(r"(?:^|[\s(])(?P<file>[^\s():]+):(?P<line>[1-9][0-9]{0,6})\)?$")


class Line(NamedTuple):
    """What one source line cost, over all call sites that it names."""

    share: float  # 0..1 of the time of all accesses
    accesses: int
    mean_ns: float
    mostly: str


def line_of(site: str) -> tuple[str, int] | None:
    """(file, line) at the end of a call site's name: "look_up+0x1f table.cpp:42"; None if it says none."""
    found = _AT.search(site)
    return (found["file"], int(found["line"])) if found else None


def listings(result: Result) -> list[Element]:
    """An annotated listing of each source file that is found, those with most time first."""
    files: dict[str, dict[int, list[Line]]] = {}
    for place in places(result, "site")[0]:
        at = line_of(place.name)
        if at:
            cause = largest(place.latencies.stack_ns, 1)
            mostly = f"{cause[0][0]} {100 * cause[0][1]:.0f} %" if cause else ""
            line = Line(place.share, place.latencies.count, place.latencies.mean_ns, mostly)
            files.setdefault(at[0], {}).setdefault(at[1], []).append(line)
    ranked = sorted(files.items(), key=lambda item: -sum(line.share for lines in item[1].values() for line in lines))
    made = (_listing(file, {number: _together(parts) for number, parts in lines.items()}) for file, lines in ranked)
    return [listing for listing in made if listing is not None][:MOST_FILES]


def _together(parts: list[Line]) -> Line:
    accesses = sum(part.accesses for part in parts)
    mean = sum(part.mean_ns * part.accesses for part in parts) / max(accesses, 1)
    return Line(sum(part.share for part in parts), accesses, mean, max(parts).mostly)


def _listing(file: str, costs: dict[int, Line]) -> Element | None:
    text = _read(file)
    if text is None:
        return None
    hot = sorted((number for number in costs if number <= len(text)), key=lambda number: -costs[number].share)
    shown: set[int] = set()
    for number in hot:
        around = set(range(max(1, number - AROUND), min(len(text), number + AROUND) + 1))
        if len(shown | around) <= MOST_LINES:
            shown |= around
    if not shown:
        return None
    rows: list[Element] = []
    before = 0
    for number in sorted(shown):
        if number != before + 1 and before:
            rows.append(tag("tr", tag("td", "⋯", colspan=5), class_="gap"))
        rows.append(_row(number, text[number - 1], costs.get(number)))
        before = number
    title = ("Source of ", name(file), " with the share of all accesses' time")
    made = table(title, headings("time", "mean ns", "line", "source", "mostly"), rows, class_="listing")
    return wide(made, f"Annotated source of {file}")


def _row(number: int, source: str, cost: Line | None) -> Element:
    time, mean, mostly = ("", "", "") if cost is None else (percent(cost.share), ns(cost.mean_ns), cost.mostly)
    heat = "" if cost is None else " hot" if cost.share >= 0.1 else " warm"
    code = tag("td", tag("code", source[:LONGEST]), class_="code")
    cells = [tag("td", cell) for cell in (time, mean, str(number))]
    return tag("tr", cells, code, tag("td", mostly), class_=f"line{heat}")


def _read(file: str) -> list[str] | None:
    """The lines of a source file; None if it is not there, or not such a file."""
    path = Path(file)
    try:
        if not SOURCE.search(path.name) or not path.is_file() or path.stat().st_size > LARGEST_BYTES:
            return None
        return path.read_text(encoding="utf-8", errors="replace").expandtabs(4).split("\n")
    except (OSError, ValueError):
        return None
