"""The memory of a running process as rules of a scenario: which region on which nodes."""

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from numasim.memory.capacity import size_text
from numasim.traces.blocks import place as place_blocks
from numasim.traces.parquet import Reader
from numasim.traces.readers.numa_maps import Area
from numasim.traces.replay import survey

NAMES = ("heap", "stack", "anonymous", "files")  # of regions, where no trace says which it has
PARTS = 16  # a share is rounded to a sixteenth (a fourth of an even share, if there are many nodes): short cycles
MOST_WEIGHT = 255  # the kernel's


class Placed(NamedTuple):
    """All areas of a name: bytes by node, and by size of page."""

    name: str
    nodes: dict[int, int]
    pages: dict[int, int]

    @property
    def bytes(self) -> int:
        """On all nodes."""
        return sum(self.nodes.values())

    @property
    def policy(self) -> tuple[str, str]:
        """(word, nodes) of the policy that gives about the same shares: membind, interleave, weighted_interleave."""
        parts = max(PARTS, 4 * len(self.nodes))
        rounded = {node: min(round(parts * size / self.bytes), MOST_WEIGHT) for node, size in self.nodes.items()}
        kept = {node: weight for node, weight in sorted(rounded.items()) if weight}
        common = math.gcd(*kept.values())
        if len(kept) == 1:
            return "membind", str(next(iter(kept)))
        if len(set(kept.values())) == 1:
            return "interleave", ",".join(map(str, kept))
        return "weighted_interleave", ",".join(f"{node}:{weight // common}" for node, weight in kept.items())

    @property
    def page(self) -> str:
        """The scenario's word for the pages most bytes are in: 4k, 2m, 1g; what is between counts as the smaller."""
        most = max(self.pages, key=lambda size: (self.pages[size], size))
        return "4k" if most < 2 << 20 else "2m" if most < 1 << 30 else "1g"


class _Space:
    """Notes the names of the regions it is asked for."""

    base = 0

    def __init__(self) -> None:
        self.names: list[str] = []

    def region(self, name: str, size_bytes: int, *, touch_node: int | None = None) -> "_Space":
        """Note the name."""
        self.names.append(name)
        return self


def region_names(trace: str | Path) -> list[str]:
    """Names of the regions a trace has when it is replayed. Raises UserError if it is none."""
    reader, space = Reader(trace), _Space()
    place_blocks(survey(reader).blocks, reader.meta.regions, space, None)
    return space.names


def place(areas: list[Area], names: Collection[str] = NAMES) -> list[Placed]:
    """The areas by name, most bytes first. names: of the regions there are.

    An area whose name is not among them goes to "files" if it is one, or "anonymous" if it is none, else to "data",
    which is all but the stack in traces that do not tell more, else nowhere.
    """
    found: dict[str, Placed] = {}
    for area in areas:
        choices = (area.name, "files" if area.is_file else "anonymous", "data")
        name = next((choice for choice in choices if choice in names), None)
        if not name:
            continue
        placed = found.setdefault(name, Placed(name, {}, {}))
        for node, size in area.nodes.items():
            placed.nodes[node] = placed.nodes.get(node, 0) + size
            placed.pages[area.page_bytes] = placed.pages.get(area.page_bytes, 0) + size
    return sorted(found.values(), key=lambda placed: (-placed.bytes, placed.name))


def toml(placed: list[Placed]) -> str:
    """[[region]] rules of a scenario."""
    parts = []
    for one in placed:
        shares = ", ".join(f"{100 * size / one.bytes:.1f} % on node {node}" for node, size in sorted(one.nodes.items()))
        word, nodes = one.policy
        rule = [f"# {size_text(one.bytes)}: {shares}", "[[region]]", f"name = {json.dumps(one.name)}"]
        rule.append(f'{word} = "{nodes}"')
        if one.page != "4k":  # small pages may have been made huge ones without it showing
            rule.append(f'pages = "{one.page}"')
        parts.append("\n".join(rule) + "\n")
    return "\n".join(parts)
