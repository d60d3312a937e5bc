"""Text of DynamoRIO's drmemtrace view tool (`drrun -t drmemtrace -tool view -indir DIR 2> FILE`) into a trace file.

Format: DynamoRIO/dynamorio, clients/drcachesim/tools/view.cpp and view.h (print_prefix), and views of its sample traces
(DynamoRIO/drmemtrace_samples). A line is "record# instr#: tid details", "record#: Ttid details" in traces of version 4:
  ifetch       5 byte(s) @ 0x0000000000404a7e 48 8b 5c 24 08       mov    0x08(%rsp), %rbx
  read         8 byte(s) @ 0x00007fdf64e2adc8 by PC 0x0000000000404a7e
  <marker: tid 2765542 on core 7>
Accesses follow their instruction; an encoding of more than seven bytes goes on in the next line; aarch64's is one word.

The lines become lackey's, and its reader makes the trace: with the encodings, where the view has them, it is exact
which load needs which, branches have their outcome, and markers work. Code of the kernel (addresses of its half),
which some traces have inside system calls, is left out. Prefetches and flushes are counted, not replayed.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from numasim.errors import UserError
from numasim.traces.code.images import Code
from numasim.traces.parquet import CodeFile
from numasim.traces.readers import drmemtrace_scan as k
from numasim.traces.readers import lackey
from numasim.traces.readers.opening import Lines, name_of, whole_lines
from numasim.traces.readers.summary import Summary, of_lackey

BUFFER_BYTES = 4 << 20
EXPECTED = 'lines of the view tool like "  9  3:  4711 read         8 byte(s) @ 0x00007f... by PC 0x..."'
PREFIX = rb"^ *\d+(?: +\d+)?: +(?P<tid>\S+) "
FETCH = re.compile(PREFIX + rb"ifetch +(?P<size>\d+) byte\(s\) @ 0x(?P<address>[0-9a-f]+)(?P<rest>.*)$")
SPILL = re.compile(PREFIX + rb" {20,}(?P<rest>[0-9a-f][0-9a-f ]*)$")
COUNTED = re.compile(PREFIX + rb"(?P<what>pref|iflush|dflush)\S* +\d+ byte\(s\) @ 0x[0-9a-f]+")
MARKER = re.compile(PREFIX + rb"<(?P<what>marker: system call|marker|thread|entry type)(?P<rest>[^>]*)>?$")
PASSED_OVER = re.compile(
    rb"^\s*(-+|=+|Output format:|<(--)?record#.*|View tool results:|\d+ : total (disassembled )?instructions"
    rb"|Trace invariant checks passed)?\s*$"
)
SHOWN = 7  # bytes of an encoding in its first line
REGDEPS = 0x20000  # of the file type: encodings that are not the processor's
WORD = re.compile(rb" ([0-9a-f]{8})(?: |$)(?! *[0-9a-f]{8} )")
NOTHING = np.zeros(0, np.uint8)


class Encodings:
    """The code a view shows, as numasim.traces.code.images.Code. machine: "" until an encoding was seen."""

    def __init__(self) -> None:
        self.machine = ""
        self.known: dict[int, bytes] = {}

    def read(self, address: int, size: int) -> bytes:
        """See Code."""
        return self.known.get(address, b"")[:size]

    def forget(self) -> None:
        """The latest encoding of an address is the one that counts."""

    def files(self) -> list[CodeFile]:
        """A view does not name them."""
        return []


class Translation(io.RawIOBase):
    """A view as a log of lackey, to read from. name: what errors call it. counts: what is not in the log."""

    def __init__(self, log: str) -> None:
        super().__init__()
        self.name, self.code = name_of(log), Encodings()
        self.counts = {"prefetches": 0, "flushes": 0, "system_calls": 0, "markers": 0}
        self.scan = k.start()
        self._tids: dict[bytes, int] = {}
        self._regdeps = False
        self._seen = 0
        self._pieces = self._translate(whole_lines(log, BUFFER_BYTES))
        self._ready = next(self._pieces, NOTHING)  # so that the machine is known

    @property
    def lines(self) -> int:
        """Read so far."""
        return int(self.scan.now[k.LINES])

    @property
    def kernel(self) -> int:
        """Lines of the kernel's code, left out."""
        return int(self.scan.now[k.KERNEL])

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, into: Any) -> int:
        """Fill with what there is; 0 at the end."""
        if not len(self._ready):
            self._ready = next(self._pieces, NOTHING)
        count = min(len(into), len(self._ready))
        into[:count] = self._ready[:count].data
        self._ready = self._ready[count:]
        return count

    def _translate(self, blocks: Iterator[Lines]) -> Iterator[k.Octets]:
        """A block of the view after another, as text of lackey, never empty."""
        rest = b""  # an instruction whose encoding goes on in the next block
        for lines in blocks:
            if lines.cut:
                self._fail("cut short in", bytes(lines.raw[: lines.end]))
            out, rest = self._block(rest + lines.raw[: lines.end], False)
            if len(out):
                yield out
        yield self._block(rest, True)[0]

    def _block(self, text: bytes, last: bool) -> tuple[k.Octets, bytes]:
        """Whole lines as text of lackey, and those that have to wait for more; of the last block none has."""
        octets = np.frombuffer(text + bytes(64), np.uint8)
        out = np.zeros(len(text) + k.LONGEST_OUT, np.uint8)
        self.scan.now[k.WRITTEN] = at = 0
        while True:
            why, at = k.scan(octets, at, len(text), self.scan, out)
            if why == k.END:
                break
            end = text.index(b"\n", at)
            line, following = text[at:end], text[end + 1 : end + 200]
            if why == k.SWITCH:
                out = self._switch(line, out)
            elif why == k.OTHER:
                self._other(line)
                at = end + 1
            elif not self._learn(line, following or b"\n" * last):
                break
        if last:
            k.let_go(self.scan, out)
        return out[: int(self.scan.now[k.WRITTEN])], text[at:]

    def _fail(self, what: str, line: bytes) -> None:
        shown = repr(line[:60].decode(errors="replace")) + ("..." if len(line) > 60 else "")
        raise UserError(f"{what} {shown}", f"{self.name}:{self.lines + 1}", EXPECTED)

    def _switch(self, line: bytes, out: Any) -> Any:
        """Another thread runs. Threads are numbered as they come."""
        found = re.match(PREFIX, line)
        assert found
        number = self._tids.setdefault(found["tid"], len(self._tids) + 1)
        text = np.frombuffer(b"--1--   SCHED[%d]:  acquired lock (drmemtrace)\n" % number, np.uint8)
        start = int(self.scan.now[k.WRITTEN])
        out = np.concatenate([out[:start], text, np.zeros(len(out) - start, np.uint8)])
        self.scan.now[k.WRITTEN] = start + len(text)
        self.scan.now[k.TID] = self.scan.now[k.NEXT_TID]
        return out

    def _other(self, line: bytes) -> None:
        """A line that is no instruction and no access."""
        if found := COUNTED.match(line):
            self.counts["prefetches" if found["what"] == b"pref" else "flushes"] += 1
        elif found := MARKER.match(line):
            self.counts["system_calls" if found["what"].endswith(b"call") else "markers"] += 1
            if kind := re.match(rb": filetype 0x([0-9a-f]+)", found["rest"]):
                self._regdeps = bool(int(kind[1], 16) & REGDEPS)
        elif not PASSED_OVER.match(line) and not SPILL.match(line):
            self._fail("not understood:", line)
        self.scan.now[k.LINES] += 1

    def _learn(self, line: bytes, following: bytes) -> bool:
        """An instruction that was not seen, or not with this encoding. False: it goes on in a line not read yet."""
        found = FETCH.match(line)
        assert found
        size, address = int(found["size"]), int(found["address"], 16)
        octets, machine = b"", ""
        if not self._regdeps and len(found["address"]) == 16:
            pairs = re.match(rb"(?: [0-9a-f]{2}(?= |$)){1,8}", found["rest"])
            word = WORD.match(found["rest"]) if size == 4 else None
            if pairs:
                octets, machine = bytes.fromhex(pairs[0].decode())[:size], "x86_64"
                if SHOWN <= len(octets) < size:
                    if not following:
                        return False
                    spilled = SPILL.match(following.partition(b"\n")[0])
                    octets += bytes.fromhex(spilled["rest"].decode()) if spilled else b""
            elif word:
                octets, machine = bytes.fromhex(word[1].decode())[::-1], "aarch64"
        if len(octets) == size:
            self.code.known[address] = octets
            self.code.machine = self.code.machine or machine
        slot = k.place_of(self.scan, address)
        self._seen += self.scan.known[slot] == -1
        if self._seen > k.SLOTS // 2:  # start anew: what was seen is looked at once more
            self.scan.known[:] = -1
            self._seen, slot = 1, k.place_of(self.scan, address)
        self.scan.known[slot], self.scan.encoding[slot] = address, self.scan.now[k.CODE_HASH]
        return True


def convert(
    log: str | Path,
    output: str | Path,
    *,
    code: Code | None = None,
    only: str | int | None = None,
    names: Mapping[int, str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Convert a view (plain, .gz or .xz; "-": standard input) to the trace file `output`, streaming.

    code: of the program, for a view without encodings. only, names: as of lackey.convert. progress is called with the
    number of lines read so far. Raises UserError, naming the line, for text that is malformed, cut short or without an
    access; then no file is left.
    """
    view = Translation(str(log))
    told = (lambda _: progress(view.lines)) if progress else None
    known = view.code if view.code.machine else code
    done = lackey.convert(view, output, code=known, only=only, names=names, progress=told, reader="drmemtrace")
    calls = max(done.system_calls, view.counts["system_calls"])
    done = done._replace(lines=view.lines, prefetches=view.counts["prefetches"], system_calls=calls)
    kernel = f"{view.kernel:,} lines of the kernel's code were left out." if view.kernel else ""
    summary = of_lackey(done, "drmemtrace", (kernel,) if kernel else ())
    return summary._replace(counts=summary.counts | {"kernel": view.kernel, "flushes": view.counts["flushes"]})
