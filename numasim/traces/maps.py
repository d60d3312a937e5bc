"""The memory map of a program that runs under valgrind: which stretches are its heap, its stack, its files.

A line of /proc/PID/maps is "start-end perms offset device inode path" (proc(5)). valgrind shares the address space with
the program it runs. Its own: its files, and what it asked for beyond 0x1000000000, readable, writable and executable.
The program's stack ends at 0x1fff001000; the kernel's [stack] is valgrind's. The heap that brk() grows is the lowest
anonymous stretch that is executable too. (Seen with valgrind 3.19; coregrind/m_aspacemgr and m_initimg describe it.)
"""

import contextlib
import os
from collections.abc import Iterable
from typing import NamedTuple

from numasim.traces.parquet import Range
from numasim.traces.symbols import damage

STACKS = range(0x1FF0000000, 0x2000000000)
VALGRINDS = range(0x1000000000, 0x1FF0000000)
MARKERS = 0x0A0000000000  # the page of the markers
PAGE = 4096
FILES = 24  # names of files kept; the smaller ones are "files"


class Mapping(NamedTuple):
    """A line of the map: start <= address < end, permissions such as "rw-p", offset in the file; path may be ""."""

    start: int
    end: int
    permissions: str
    offset: int
    path: str


def read(pid: int) -> list[Mapping]:
    """The mappings of a process, ascending; none if it has ended or is another user's."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as lines:
            return [parse(line) for line in lines]
    except OSError:
        return []


def parse(line: str) -> Mapping:
    """One line of /proc/PID/maps."""
    span, permissions, offset, _, _, *path = line.rstrip("\n").split(maxsplit=5)
    start, end = span.split("-")
    return Mapping(int(start, 16), int(end, 16), permissions, int(offset, 16), path[0] if path else "")


class Seen:
    """All that the program had mapped, look after look: what was unmapped before the end stays known."""

    def __init__(self) -> None:
        self.mappings: dict[Mapping, None] = {}
        self.heap = 0  # where it starts

    def look(self, mappings: Iterable[Mapping]) -> None:
        """Add what is mapped now."""
        end_of_own = 0  # of valgrind's program file: its zeroed data follow
        for m in mappings:
            if ("/valgrind/" in m.path and not m.path.endswith(".so")) or (m.start == end_of_own and not m.path):
                end_of_own = m.end
            elif self._is_programs(m):
                self.mappings[m] = None
                if not m.path and "x" in m.permissions and not self.heap:
                    self.heap = m.start

    @staticmethod
    def _is_programs(m: Mapping) -> bool:
        own = m.start in VALGRINDS and not m.path and m.permissions[:3] in ("rwx", "---")
        kernels = m.path.startswith("[") and not m.path.startswith("[anon")
        return not (own or kernels or m.permissions.startswith("---") or m.start == MARKERS)

    def regions(self) -> list[Range]:
        """Named stretches, for Meta.regions: heap, stack, anonymous, then files by name, the largest first.

        heap: what brk() grew.  anonymous: what mmap() gave: large blocks of malloc, threads' stacks, other languages'
        heaps.  A file's stretch ends with its zeroed data (.bss).
        """
        zeroed = {m: _zeroed_end(m) for m in self.mappings if m.path and m.offset == 0}
        found: dict[str, list[Range]] = {"heap": [], "stack": [], "anonymous": []}
        files = [m for m in self.mappings if m.path and not m.path.startswith("[anon")]
        for m in files:
            name = os.path.basename(m.path.removesuffix(" (deleted)"))
            found.setdefault(name, []).append(Range(name, m.start, max(m.end, zeroed.get(m, 0))))
        taken = sorted((r.start, r.end) for ranges in found.values() for r in ranges)
        for m in self.mappings:
            if m.path and not m.path.startswith("[anon"):
                continue
            name = "heap" if m.start == self.heap else "stack" if m.start in STACKS else "anonymous"
            start = max([m.start, *(end for first, end in taken if first < m.start < end)])  # after a file's .bss
            if start < m.end:
                found[name].append(Range(name, start, m.end))
        by_size = sorted(list(found)[3:], key=lambda name: -sum(r.end - r.start for r in found[name]))
        for name in by_size[FILES:]:
            found.setdefault("files", []).extend(Range("files", r.start, r.end) for r in found.pop(name))
        order = ["heap", "stack", "anonymous", *by_size[:FILES], "files"]
        return [r for name in order for r in _joined(found.get(name, []))]


def _joined(ranges: list[Range]) -> list[Range]:
    """Ranges of one name, ascending, those that touch made one."""
    joined: list[Range] = []
    for r in sorted(ranges, key=lambda r: r.start):
        if joined and r.start <= joined[-1].end:
            joined[-1] = Range(r.name, joined[-1].start, max(joined[-1].end, r.end))
        else:
            joined.append(r)
    return joined


def _zeroed_end(first: Mapping) -> int:
    """Where a program's or library's memory ends, its zeroed data included; 0 if the file is none. first: maps its
    beginning."""
    from elftools.elf.elffile import ELFFile

    with contextlib.suppress(*damage()), open(first.path, "rb") as file:
        loaded = list(ELFFile(file).iter_segments("PT_LOAD"))
        bias = first.start - loaded[0]["p_vaddr"] // PAGE * PAGE if loaded else 0
        end = max((int(s["p_vaddr"] + s["p_memsz"]) for s in loaded), default=0)
        return int(bias + (-(-end // PAGE) * PAGE)) if loaded else 0
    return 0
