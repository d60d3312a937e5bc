"""Ramulator's text traces into a trace file: requests to memory, without the program that made them.

Formats, from the simulators' sources (the first line says which it is, and all lines must follow it):
- "LD 0x12345680", "ST 1234": CMU-SAFARI/ramulator2, src/frontend/impl/memory_trace/loadstore_trace.cpp.
- "0x12345680 R", "0x4cbd56c0 W": CMU-SAFARI/ramulator, README.md, "Memory Trace Driven".
- "3 20734016", "8 20841280 20841280": instructions before, a load, and the line that is written back after it;
  both simulators ("CPU Trace Driven"; src/frontend/impl/processor/simpleO3/trace.cpp). Addresses are decimal.

A request is of a whole line and says no size: 8 bytes are recorded, or what is left of the line. Which load needed
which is unknown. The first two forms do not tell instructions either: each request counts as one.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError
from numasim.traces import parquet
from numasim.traces.readers.opening import Lines, name_of, whole_lines
from numasim.traces.readers.summary import Summary
from numasim.traces.records import LOAD, MAX_INSNS, STORE

BUFFER_BYTES = 4 << 20
FORMS = {
    'lines like "LD 0x12345680" or "ST 1234"': re.compile(rb"^(LD|ST)[ \t]+(0[xX][\da-fA-F]+|\d+)[ \t]*\r?$", re.M),
    'lines like "0x12345680 R" or "0x4cbd56c0 W"': re.compile(rb"^(0[xX][\da-fA-F]+)[ \t]+([RW])[ \t]*\r?$", re.M),
    'lines like "3 20734016" or "8 20841280 20841280"': re.compile(
        rb"^(\d+)[ \t]+(\d+)(?:[ \t]+(\d+))?[ \t]*\r?$", re.M
    ),
}
EXPECTED = ", or ".join(FORMS)
LINE_BYTES = 64


def convert(log: str | Path, output: str | Path, *, progress: Callable[[int], None] | None = None) -> Summary:
    """Convert a trace (plain, .gz or .xz; "-": standard input) to the trace file `output`, streaming.

    progress is called with the number of lines read so far. Raises UserError, naming the line, for a file that is
    malformed, cut short or empty; then no file is left.
    """
    with parquet.Writer(output) as writer:
        conversion = _Conversion(writer, name_of(str(log)))
        for lines in whole_lines(str(log), BUFFER_BYTES):
            conversion.read(lines)
            if progress:
                progress(conversion.lines)
        return conversion.finish()


class _Conversion:
    """One conversion under way. form: a key of FORMS, once it is known; waiting: instructions no record counts yet."""

    def __init__(self, writer: parquet.Writer, name: str) -> None:
        self.writer, self.name = writer, name
        self.form = ""
        self.lines = self.loads = self.stores = self.instructions = self.waiting = 0

    def read(self, lines: Lines) -> None:
        """Take in whole lines."""
        text = bytes(lines.raw[: lines.end])
        if lines.cut:
            self.fail("cut short in", text)
        if not self.form and text.strip():
            first = text.lstrip().split(b"\n", 1)[0]
            self.form = next((form for form, pattern in FORMS.items() if pattern.match(first)), "")
        found = FORMS[self.form].findall(text) if self.form else []
        count = text.count(b"\n")
        if len(found) < count:
            self.check(text)
        if found:
            self.write(list(self.requests(found)))
        self.lines += count

    def check(self, text: bytes) -> None:
        """There are lines that are no requests: they must be empty."""
        for number, line in enumerate(text.split(b"\n")):
            if line.strip() and not (self.form and FORMS[self.form].match(line)):
                self.lines += number
                self.fail("not understood:", line)

    def fail(self, what: str, line: bytes) -> None:
        """Raise the error for the line after those read."""
        shown = repr(line[:60].decode(errors="replace").strip("\r"))
        raise UserError(f"{what} {shown}", f"{self.name}:{self.lines + 1}", self.form or EXPECTED)

    def requests(self, found: list[tuple[bytes, ...]]) -> Iterator[tuple[int, int, int]]:
        """(kind, address, instructions before and with it) of each request."""
        for words in found:
            if words[0] in (b"LD", b"ST"):
                yield (LOAD if words[0] == b"LD" else STORE), _number(words[1]), 1
            elif words[1] in (b"R", b"W"):
                yield (LOAD if words[1] == b"R" else STORE), _number(words[0]), 1
            else:
                yield LOAD, int(words[1]), int(words[0]) + 1
                if words[2]:
                    yield STORE, int(words[2]), 0

    def write(self, requests: list[tuple[int, int, int]]) -> None:
        """Append these requests to the file."""
        largest = max(max(address, insns) for _, address, insns in requests)
        if largest >= 1 << 63:
            raise UserError(f"the number {largest}", f"{self.name}: after line {self.lines}", "numbers below 2^63")
        kind, address, insns = np.array(requests, np.int64).T
        size = np.minimum(8, LINE_BYTES - address % LINE_BYTES)
        self.writer.write(parquet.Columns(address, kind=kind, size=size, insns=self.spread(insns)))
        self.loads += int((kind == LOAD).sum())
        self.stores += int((kind == STORE).sum())
        self.instructions += int(insns.sum())

    def spread(self, insns: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Instructions by record, at most 255 each: what is over goes to the next records."""
        asked, given = self.waiting + np.cumsum(insns), np.arange(1, len(insns) + 1) * MAX_INSNS
        # the sum up to record i is the smallest of `asked up to j, and 255 for each after j` over j <= i, and of 255 i
        total = given + np.minimum(np.minimum.accumulate(asked - given), 0)
        self.waiting = int(asked[-1] - total[-1])
        return np.diff(total, prepend=0).astype(np.uint8)

    def finish(self) -> Summary:
        """The end of the file."""
        if not self.writer.rows:
            raise UserError("no request", self.name, EXPECTED)
        counts = {"lines": self.lines, "loads": self.loads, "stores": self.stores}
        counts |= {"instructions": self.instructions, "instructions_after": self.waiting}
        self.writer.commit(parquet.Meta(reader="ramulator", sites=["unknown"], threads=[1], counts=counts))
        note = "Its loads and stores are requests to memory: what the caches of its processor served is not in it."
        return Summary(
            reader="ramulator",
            read=self.lines,
            unit="lines",
            instructions=self.instructions,
            loads=self.loads,
            stores=self.stores,
            branches=0,
            records=self.writer.rows,
            threads=1,
            sites=1,
            dependence="unknown",
            notes=(note,),
            counts=counts,
        )


def _number(text: bytes) -> int:
    """A number, decimal or with 0x."""
    return int(text, 16 if text[1:2] in (b"x", b"X") else 10)
