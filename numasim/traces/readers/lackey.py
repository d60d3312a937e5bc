"""Logs of `valgrind --tool=lackey --trace-mem=yes`: "I  addr,size", " L", " S", " M" lines into a trace file.

Format: logs of valgrind 3.19, and its manual ("Lackey: an example tool"). An instruction's memory lines follow its I
line. With --trace-sched=yes, "SCHED[tid]: acquired lock" says which thread runs from then on. Other messages of
valgrind (lines that start with ==, -- or **) are passed over; any other line is an error, since it may hide a record.

M is a load and a store of one instruction: two records, the store needing the load. What else needs what is not in a
log. A site is the address of the instruction that accesses, numbered as first seen.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numasim.errors import UserError
from numasim.traces import parquet
from numasim.traces.readers import lackey_scan as k
from numasim.traces.readers.opening import Lines, name_of, whole_lines
from numasim.traces.records import COUNT_OFF, COUNT_ON, LOAD, MARK, STORE

BUFFER_BYTES = 4 << 20
WARM_UP, COUNT, END = 0x80, 0x0, 0x40  # offsets in the marker page lackey_scan.PAGE
PASSED_OVER = (b"==", b"--", b"**", b"SB ")  # valgrind's messages; --trace-superblocks
SWITCH = re.compile(rb"--\d+--\s+SCHED\[(\d+)\]:\s+acquired lock")
COMMAND = re.compile(rb"==\d+== Command: (.*)")
EXPECTED = 'lackey lines like "I  04001090,3" and " L 1ffefff8,8"; --log-file keeps the program\'s own output out'

assert (LOAD, STORE) == (0, 1)  # lackey_scan knows them by number


class Converted(NamedTuple):
    """What came of a log.

    lines: read, of every sort.  instructions, loads, stores: kept (an M is one of each).  records: rows of the file,
    marks and the pieces of accesses over 64 bytes included.  threads, sites: how many.  markers: a region was cut
    out.  dropped_before, dropped_after: trace lines left out, before the first beginning and after an end.
    instructions_after: of the kept ones, those after their thread's last record of a region, which no record counts.
    """

    lines: int
    instructions: int
    loads: int
    stores: int
    records: int
    threads: int
    sites: int
    markers: bool
    dropped_before: int
    dropped_after: int
    instructions_after: int


def convert(
    log: str | Path,
    output: str | Path,
    *,
    buffer_bytes: int = BUFFER_BYTES,
    group_rows: int = parquet.GROUP,
    progress: Callable[[int], None] | None = None,
) -> Converted:
    """Convert a log (plain, .gz or .xz; "-": standard input) to the trace file `output`, streaming.

    progress is called with the number of lines read so far, a few times a second. Raises UserError, naming the line,
    for a log that is malformed, cut short or without an access, and if nothing was counted; then no file is left.
    """
    with parquet.Writer(output) as writer:
        conversion = _Conversion(writer, name_of(str(log)), group_rows)
        for lines in whole_lines(str(log), buffer_bytes):
            conversion.read(lines)
            if progress:
                progress(conversion.count(k.LINES))
        return conversion.finish()


class _Conversion:
    """One conversion under way. where: "all" until a marker is seen, then "outside", "warm-up" or "counting"."""

    def __init__(self, writer: parquet.Writer, name: str, group_rows: int) -> None:
        self.writer, self.name = writer, name
        self.scan = k.start_scan()
        self.rows = k.empty_rows(group_rows + k.SPARE)
        self.command = ""
        self.threads: set[int] = set()
        self.where, self.begun = "all", False
        self.outside_since = self.counting_since = 0  # trace lines read, accesses kept, when that began
        self.counted = self.dropped_before = self.dropped_after = self.instructions_after = 0

    def count(self, what: int) -> int:
        """One of the scan's numbers."""
        return int(self.scan.now[what])

    def accesses(self) -> int:
        """Kept so far."""
        return self.count(k.LOADS) + self.count(k.STORES)

    # ---- lines ----

    def read(self, lines: Lines) -> None:
        """Take in whole lines."""
        if lines.cut:
            raise self.bad(lines, 0, "the log is cut short in")
        at = 0
        while True:
            why, at = k.scan(lines.text, at, lines.end, self.scan, self.rows)
            if why == k.END:
                return
            if why == k.FULL:
                self.flush()
            elif why == k.MARKER:
                self.marker(self.count(k.OFFSET))
            elif why == k.BAD:
                raise self.bad(lines, at, "not understood:")
            else:
                at = self.message(lines, at)

    def bad(self, lines: Lines, at: int, what: str) -> UserError:
        """The error for the line that starts at `at`."""
        end = lines.raw.find(b"\n", at, lines.end)
        line = bytes(lines.raw[at : end if end >= 0 else lines.end])
        text = repr(line[:60].decode(errors="replace")) + ("..." if len(line) > 60 else "")
        return UserError(f"{what} {text}", f"{self.name}:{self.count(k.LINES) + 1}", EXPECTED)

    def message(self, lines: Lines, at: int) -> int:
        """Look at a line that is no record. Returns where the next one starts."""
        end = lines.raw.index(b"\n", at)
        line = bytes(lines.raw[at:end])
        if line.strip() and not line.startswith(PASSED_OVER):
            raise self.bad(lines, at, "not understood:")
        if switch := SWITCH.match(line):
            if not 0 < int(switch[1]) < k.THREADS:
                raise self.bad(lines, at, "too many threads:")
            self.scan.now[k.THREAD] = int(switch[1])
        elif command := COMMAND.match(line):
            self.command = command[1].decode(errors="replace")
        self.scan.now[k.LINES] += 1
        return end + 1

    # ---- the region of interest ----

    def marker(self, offset: int) -> None:
        """A marker store was read: begin or leave the region of interest, or do nothing."""
        where = {WARM_UP: "warm-up", COUNT: "counting", END: "outside"}.get(offset, self.where)
        if not self.begun and offset in (WARM_UP, COUNT):
            self.forget()
        if where == self.where:
            return
        if self.where == "outside":
            self.dropped_after += self.count(k.TRACED) - self.outside_since
            self.drop_pending()
        self.mark(where)
        self.where = where
        self.scan.now[k.ON] = where != "outside"
        self.outside_since = self.count(k.TRACED)

    def forget(self) -> None:
        """The first beginning: drop what came before, be it that an end came first."""
        self.writer.restart()
        self.threads.clear()
        self.counted = 0
        self.dropped_before = self.count(k.TRACED)
        old, self.scan = self.scan, k.start_scan()
        self.scan.code[:] = old.code
        for what in (k.THREAD, k.LINES, k.TRACED):
            self.scan.now[what] = old.now[what]
        self.where, self.begun, self.outside_since = "outside", True, self.dropped_before

    def drop_pending(self) -> None:
        """Instructions that wait for a record of their thread will find none in this region."""
        self.instructions_after += int(self.scan.pending.sum())
        self.scan.pending[:] = 0

    def mark(self, where: str) -> None:
        """A MARK record where counting begins, and where what began ends; it takes the instructions so far."""
        if where == "counting":
            self.counting_since = self.accesses()
            k.put_mark(self.scan, self.rows, MARK, COUNT_ON)
        elif self.where in ("all", "counting"):
            self.counted += self.accesses() - self.counting_since
            if self.where == "counting":
                k.put_mark(self.scan, self.rows, MARK, COUNT_OFF)

    # ---- the file ----

    def flush(self) -> None:
        """Hand the filled rows to the file."""
        full = {name: column[: self.count(k.ROWS)] for name, column in self.rows._asdict().items()}
        self.threads.update(np.unique(full["thread"][full["kind"] != MARK]).tolist())
        self.writer.write(parquet.Columns(**full))
        self.scan.now[k.ROWS] = 0

    def finish(self) -> Converted:
        """The end of the log: complete the file."""
        if self.where == "outside":
            self.dropped_after += self.count(k.TRACED) - self.outside_since
        elif self.where != "warm-up":
            self.counted += self.accesses() - self.counting_since
        if not self.counted:
            inside = "" if self.where == "all" else " while its markers say that counting is on"
            raise UserError(f"no memory access{inside}", self.name, EXPECTED)
        self.flush()
        self.drop_pending()
        done = Converted(
            self.count(k.LINES),
            self.count(k.INSTRUCTIONS),
            self.count(k.LOADS),
            self.count(k.STORES),
            self.writer.rows,
            len(self.threads),
            self.count(k.SITES),
            self.where != "all",
            self.dropped_before,
            self.dropped_after,
            self.instructions_after,
        )
        self.writer.commit(self.meta(done))
        return done

    def meta(self, done: Converted) -> parquet.Meta:
        """What the file says of itself."""
        codes = self.scan.site_code[: done.sites].tolist()
        sites = [f"{code:#x}" if code != k.NO_CODE else "unknown" for code in codes]
        return parquet.Meta(
            reader="lackey",
            source=self.command,
            markers=done.markers,
            sites=sites + ["other"] * (done.sites == k.SITE_LIMIT),
            threads=sorted(self.threads),
            counts={name: int(value) for name, value in done._asdict().items()},
        )
