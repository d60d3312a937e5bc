"""Where a running process's memory lies: /proc/PID/numa_maps, or what `numastat -p PID` prints.

Formats: numa(7) and the kernel's fs/proc/task_mmu.c (show_numa_map): "7f3bcfe69000 default anon=524289 dirty=524289
active=0 N0=257944 N1=266345 kernelpagesize_kB=4": start, policy, then file=, heap, stack, huge, and the pages on each
node; numbers are of pages of kernelpagesize_kB. numastat(8), numactl 2.0.16: MBs by node for Huge, Heap, Stack and
Private, which is all the rest.

The names are those a recorded trace gives its regions: heap, stack, anonymous, and files by their names.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from numasim.errors import UserError
from numasim.traces.readers.opening import name_of, whole_lines

BUFFER_BYTES = 1 << 20
EXPECTED = "/proc/PID/numa_maps, or the output of numastat -p PID"
LINE = re.compile(r"^(?P<start>[0-9a-f]+) (?P<policy>[a-z][^ ]*)(?P<fields>( .*)?)$")
NODES = re.compile(r"^ +(?P<nodes>(?:Node \d+ +)+)Total *$")
ROW = re.compile(r"^(?P<name>Huge|Heap|Stack|Private) +(?P<numbers>[\d. ]+)$")
MB = 1 << 20
NUMASTAT = {"Huge": "anonymous", "Heap": "heap", "Stack": "stack", "Private": "anonymous"}


class Area(NamedTuple):
    """A stretch of memory.

    start: its address, -1 if not told.  name: heap, stack, anonymous, or a file's name.  is_file: is it one?  policy:
    the kernel's word ("default", "bind:0"), "" if not told.  page_bytes: of its pages.  nodes: bytes on each.
    """

    start: int
    name: str
    is_file: bool
    policy: str
    page_bytes: int
    nodes: dict[int, int]


def read(path: str | Path) -> list[Area]:
    """The areas of a process that have pages, as they come. Raises UserError, naming the line, for any other file."""
    name, areas, nodes, number = name_of(str(path)), [], list[int](), 0
    for lines in whole_lines(str(path), BUFFER_BYTES):
        if lines.cut:
            raise UserError("cut short", name, EXPECTED)
        for text in bytes(lines.raw[: lines.end]).decode(errors="replace").removesuffix("\n").split("\n"):
            number += 1
            if found := NODES.match(text):
                nodes = [int(word) for word in re.findall(r"\d+", found["nodes"])]
            elif (found := ROW.match(text)) and nodes:
                areas.append(_of_numastat(found, nodes, f"{name}:{number}"))
            elif found := LINE.match(text):
                areas.append(_of_numa_maps(found, f"{name}:{number}"))
            elif text.strip(" -") and not text.startswith(("Per-node", "Total")):
                raise UserError(f"not understood: {text[:60]!r}", f"{name}:{number}", EXPECTED)
    areas = [area for area in areas if area.nodes]
    if not areas:
        raise UserError("no memory on any node", name, EXPECTED)
    return areas


def _of_numa_maps(found: re.Match[str], where: str) -> Area:
    name, page, pages = "anonymous", 4096, dict[int, int]()
    is_file = False
    for word in found["fields"].split():
        key, _, value = word.partition("=")
        if key in ("heap", "stack"):
            name = key
        elif key == "file":
            name, is_file = os.path.basename(value.replace("\\040(deleted)", "").replace("\\040", " ")), True
        elif not value.isdecimal():
            continue  # huge, and whatever kernels add
        elif key == "kernelpagesize_kB":
            page = int(value) << 10
        elif re.fullmatch(r"N\d+", key) and int(value):
            pages[int(key[1:])] = int(value)
    nodes = {node: count * page for node, count in pages.items()}
    if max(nodes.values(), default=0) >= 1 << 63:
        raise UserError("more bytes than there are addresses", where, EXPECTED)
    return Area(int(found["start"], 16), name, is_file, found["policy"], page, nodes)


def _of_numastat(found: re.Match[str], nodes: list[int], where: str) -> Area:
    try:
        numbers = [float(word) for word in found["numbers"].split()]
    except ValueError:
        numbers = []
    if len(numbers) != len(nodes) + 1:
        raise UserError(f"{len(numbers)} numbers", where, f"{len(nodes) + 1}: a node each, and their sum")
    page = 2 << 20 if found["name"] == "Huge" else 4 << 10
    given = {node: int(size * MB) for node, size in zip(nodes, numbers, strict=False) if size}
    return Area(-1, NUMASTAT[found["name"]], False, "", page, given)
