"""Samples of memory accesses, as `perf script` prints them after `perf mem record` (or `perf record -d -W`).

Format: lines of perf 6.1, and tools/perf/builtin-script.c and util/mem-events.c of torvalds/linux. What is needed is
the field data_src, printed as a number and its meaning, "5080022 |OP LOAD|LVL L3 hit|SNP None|TLB L1 or L2 hit|LCK No";
around it, where they were asked for (-F), in this order: comm, tid, cpu, time, period, event, addr; weight (and two
more numbers of some processors), ip, symbol, file. perf 6.1 cuts number and meaning off at 99 characters, so the last
word may be half. The event's weight is the access's cycles, on Intel (from a threshold up, 30 unless asked), AMD, Arm.

The level's name differs between versions ("Local RAM hit", "RAM hit", "Local RAM or RAM hit"): see `place_of`.
"""

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from numasim.errors import UserError
from numasim.traces.readers.opening import Lines, name_of, whole_lines

BUFFER_BYTES = 4 << 20
EXPECTED = (
    'lines of `perf script -F ...,data_src,weight,ip,sym,dso` like "... 5080022 |OP LOAD|LVL L3 hit|SNP None|..."'
)
SOURCE = re.compile(
    r"^(?P<before>.*?)\b[0-9a-f]+ +\|OP (?P<op>[^|]*)\|LVL (?P<level>[^|]*?) *\|SNP (?P<snoop>[^|]*)(?P<after>\|.*)?$"
)
BEFORE = re.compile(  # comm, tid, cpu, time, period, event, addr
    r"^\s*\S.*?\s+\d+(?:/\d+)?\s+(?:\[\d+\]\s+)?(?:[\d.]+:\s+)?(?:\d+\s+)?(?:\S+:\s*)?(?P<addr>[0-9a-f]+)?\s*$"
)
WHERE = r"(?P<ip>[0-9a-f]+) (?P<symbol>(?!\((?!anon))\S.*?)(?: \((?P<file>(?:[^()]|\(deleted\))*)\))?"
AFTER = re.compile(rf"^(?P<numbers>(?:\d+ )*){WHERE}(?: [0-9a-f]+)*$")
NUMBER = re.compile(r"[0-9a-f]{5,}")
OFFSET = re.compile(r"\+0x[0-9a-f]+$")
FRAME = re.compile(rf"^\s+{WHERE}$")


class Sample(NamedTuple):
    """One sample.

    operation: "load", "store" and the like, "n/a".  place: see `place_of`.  level: perf's own words.  address: of the
    data, -1 if not printed.  cycles: of the access, -1 if not printed, or 0, which is no time.  symbol: of the
    instruction, without offset; file: it is in; "" if not printed.
    """

    operation: str
    place: str
    level: str
    address: int
    cycles: int
    symbol: str
    file: str


@functools.cache
def place_of(level: str) -> str:
    """Where a level of perf's is: L1, LFB, L2, L3, L4, local (memory of the own node), remote (of another), cxl, pmem,
    peer cache (of another core of the node), remote cache (of another node), uncached, io; else "unknown": N/A, and a
    miss, which does not say what served it."""
    text = level.lower()
    if "n/a" in text or text.endswith("miss"):
        return "unknown"
    remote = "remote" in text and "core, same node" not in text
    for word, near, far in (
        ("cxl", "cxl", "cxl"),
        ("pmem", "pmem", "pmem"),
        ("ram", "local", "remote"),
        ("cache", "peer cache", "remote cache"),
        ("l3", "L3", "remote cache"),
        ("l4", "L4", "remote cache"),
        ("lfb", "LFB", "LFB"),
        ("l2", "L2", "remote cache"),
        ("l1", "L1", "remote cache"),
        ("uncached", "uncached", "uncached"),
        ("i/o", "io", "io"),
    ):
        if word in text and not (word == "cache" and "uncached" in text):
            return far if remote else near
    return "unknown"


def read(log: str | Path, *, progress: Callable[[int], None] | None = None) -> Iterator[Sample]:
    """The samples of a file (plain, .gz or .xz; "-": standard input), one after another.

    progress is called with the number of lines read so far. Call chains are passed over but for their first frame.
    Raises UserError, naming the line, for a line that is neither sample, frame, comment nor empty.
    """
    number, waiting = 0, None
    for lines in whole_lines(str(log), BUFFER_BYTES):
        for line in _decoded(lines):
            number += 1
            found = SOURCE.match(line)
            frame = None if found else FRAME.match(line)
            if not found and line.strip() and not line.startswith("#") and not frame:
                shown = repr(line[:60]) + ("..." if len(line) > 60 else "")
                raise UserError(f"not understood: {shown}", f"{name_of(str(log))}:{number}", EXPECTED)
            if waiting and (found or frame):
                symbol, file = _where(frame) if frame else ("", "")
                yield waiting._replace(symbol=symbol, file=file)
                waiting = None
            if found:
                sample = _sample(found)
                if sample.symbol:
                    yield sample
                else:
                    waiting = sample  # its instruction may follow, as the first frame of a call chain
        if progress:
            progress(number)
    if waiting:
        yield waiting


def _decoded(lines: Lines) -> list[str]:
    return bytes(lines.raw[: lines.end]).decode(errors="replace").removesuffix("\n").split("\n")


def _sample(found: re.Match[str]) -> Sample:
    """The sample of a line that has a data source."""
    before = BEFORE.match(found["before"])
    address = int(before["addr"], 16) if before and before["addr"] else -1
    words = (found["after"] or found["snoop"]).rpartition("|")[2].split()
    first = next((i for i, word in enumerate(words) if word.isdecimal() or NUMBER.fullmatch(word)), len(words))
    rest = " ".join(words[first:])
    after = AFTER.match(rest)
    numbers = (after["numbers"] if after else rest).split()
    cycles = int(numbers[0]) if numbers and numbers[0].isdecimal() else 0
    symbol, file = _where(after) if after else ("", "")
    level = found["level"]
    return Sample(found["op"].strip().lower(), place_of(level), level, address, cycles or -1, symbol, file)


def _where(found: re.Match[str]) -> tuple[str, str]:
    """Symbol and file of an instruction; its address where perf knows no symbol."""
    symbol = OFFSET.sub("", found["symbol"])
    return symbol if symbol != "[unknown]" else f"{int(found['ip'], 16):#x}", found["file"] or ""
