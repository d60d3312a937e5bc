"""Logs of `valgrind --tool=lackey --trace-mem=yes`: "I  addr,size", " L", " S", " M" lines into a trace file.

Format: logs of valgrind 3.19, and its manual ("Lackey: an example tool"). An instruction's memory lines follow its I
line. With --trace-sched=yes, "SCHED[tid]: acquired lock" says which thread runs from then on. Other messages of
valgrind (lines that start with ==, --, ** or SCHEDSETJMP) are passed over; any other line is an error, since it may
hide a record.

M is a load and a store of one instruction: two records, the store needing the load. What else needs what is not in a
log: with the program's code it is followed (lackey_flow.py, numasim.traces.flow), and branches become records. A site
is the address of the instruction that accesses, numbered as first seen.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numasim.errors import UserError
from numasim.traces import flow, handover, parquet
from numasim.traces.code.images import Code
from numasim.traces.readers import lackey_scan as k
from numasim.traces.readers.lackey_kept import Kept
from numasim.traces.readers.lackey_markers import STRETCHES, Markers
from numasim.traces.readers.opening import Lines, name_of, whole_lines
from numasim.traces.records import LOAD, STORE

BUFFER_BYTES = 4 << 20
UNKNOWN_SHARE = 0.01  # of the instructions without known code: with more, which load needs which counts as unknown
PASSED_OVER = (
    b"==",
    b"--",
    b"**",
    b"SB ",
    b"SCHEDSETJMP(",
)  # messages; --trace-superblocks; signals with --trace-sched
SWITCH = re.compile(rb"--\d+--\s+SCHED\[(\d+)\]:\s+acquired lock")
COMMAND = re.compile(rb"==\d+== Command: (.*)")
EXPECTED = 'lackey lines like "I  04001090,3" and " L 1ffefff8,8"; --log-file keeps the program\'s own output out'

assert (LOAD, STORE) == (0, 1)  # lackey_scan knows them by number


class Converted(NamedTuple):
    """What came of a log.

    lines: read, of every sort.  instructions: kept.  loads, stores: rows of the file (an M makes one of each, one of
    over 64 bytes a row a piece).  records: all its rows, marks included.  threads, sites: how many.  markers: a region
    was cut out.  dropped_before, dropped_after: trace lines left out, before the first beginning and after an end.
    instructions_after: of the kept ones, those after their thread's last record of a region, which no record counts.

    With the program's code: exact: it is known which load needs which.  branches, taken: conditional ones.  atomics:
    not among loads and stores.  forwarded: loads that read what one of the thread's last 255 records wrote.
    incomplete: records that need more than three loads.  ended: needs left out because they lie more than 255 records
    back.  folded: turns of string instructions that are not counted, joined to the one before.  prefetches: of
    software, which leave nothing in a log; system_calls; indirect: jumps and calls to an address in a register or in
    memory; unknown_code: instructions of which the code is not known; waits: of one thread for another.
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
    exact: bool = False
    branches: int = 0
    taken: int = 0
    atomics: int = 0
    forwarded: int = 0
    incomplete: int = 0
    ended: int = 0
    folded: int = 0
    prefetches: int = 0
    system_calls: int = 0
    indirect: int = 0
    unknown_code: int = 0
    waits: int = 0


FLOW_COUNTS = {
    "branches": flow.BRANCHES,
    "taken": flow.TAKEN,
    "atomics": flow.ATOMICS,
    "forwarded": flow.FORWARDED,
    "incomplete": flow.INCOMPLETE,
    "ended": flow.ENDED,
    "folded": flow.FOLDED,
    "prefetches": flow.PREFETCHES,
    "system_calls": flow.SYSCALLS,
    "indirect": flow.INDIRECT,
    "unknown_code": flow.UNKNOWN_CODE,
}


def convert(
    log: str | Path | Any,
    output: str | Path,
    *,
    code: Code | None = None,
    only: str | int | None = None,
    names: Mapping[int, str] | None = None,
    regions: Callable[[], list[parquet.Range]] | None = None,
    stop: Callable[[], bool] | None = None,
    buffer_bytes: int = BUFFER_BYTES,
    group_rows: int = parquet.GROUP,
    progress: Callable[[int], None] | None = None,
    watch: Callable[[int, int], None] | None = None,
    reader: str = "lackey",
) -> Converted:
    """Convert a log (plain, .gz or .xz; "-": standard input; or an open binary file) to the trace file `output`.

    code: the program's; then it is exact which load needs which.  only: number or name of a stretch: it alone counts.
    names: of stretches, by number.  regions: asked at the end for the named stretches of the address space.  stop:
    asked often; once it says so the trace ends with what there is, and is marked partial.  progress is called with the
    number of lines read so far, watch with that and the accesses kept, a few times a second.  reader: what the file is
    to call the log's format.

    Raises UserError, naming the line, for a log that is malformed, cut short or without an access, for `only` that
    names no stretch, and if nothing was counted; then no file is left.
    """
    names = dict(names or {})
    source = str(log) if isinstance(log, str | Path) else log
    with parquet.Writer(output) as writer:
        kept = Kept(writer, group_rows, code)
        conversion = _Conversion(kept, Markers(kept, numbered(only, names)), name_of(source), reader)
        for lines in whole_lines(source, buffer_bytes):
            stopped = bool(stop and stop())
            if lines.cut and stopped:
                break
            conversion.read(lines)
            if progress:
                progress(kept.count(k.LINES))
            if watch:
                watch(kept.count(k.LINES), kept.accesses())
            if stopped:
                break
        return conversion.finish(names, regions() if regions else [], bool(stop and stop()))


def numbered(only: str | int | None, names: Mapping[int, str]) -> int | None:
    """The number of a stretch given by number or name. UserError if there is no such."""
    if only is None:
        return None
    text = str(only)
    for number, name in names.items():
        if name == text:
            return number
    if not text.isascii() or not text.isdigit() or int(text) >= STRETCHES:
        known = ", ".join(names.values())
        raise UserError(f"no stretch {text!r}", "--only", f"0 to {STRETCHES - 1}" + (f", or {known}" if known else ""))
    return int(text)


class _Conversion:
    """One conversion under way."""

    def __init__(self, kept: Kept, markers: Markers, name: str, reader: str) -> None:
        self.kept, self.markers, self.name, self.reader = kept, markers, name, reader
        self.command = ""

    def read(self, lines: Lines) -> None:
        """Take in whole lines."""
        if lines.cut:
            raise self.bad(lines, 0, "the log is cut short in")
        at = 0
        while True:
            why, at = self.kept.take(lines.text, at, lines.end)
            if why == k.END:
                return
            if why == k.FULL:
                self.kept.flush()
            elif why == k.MARKER:
                self.markers.store(self.kept.count(k.OFFSET))
            elif why == k.BAD:
                raise self.bad(lines, at, "not understood:")
            else:
                at = self.message(lines, at)

    def bad(self, lines: Lines, at: int, what: str) -> UserError:
        """The error for the line that starts at `at`."""
        end = lines.raw.find(b"\n", at, lines.end)
        line = bytes(lines.raw[at : end if end >= 0 else lines.end])
        text = repr(line[:60].decode(errors="replace")) + ("..." if len(line) > 60 else "")
        return UserError(f"{what} {text}", f"{self.name}:{self.kept.count(k.LINES) + 1}", EXPECTED)

    def message(self, lines: Lines, at: int) -> int:
        """Look at a line that is no record. Returns where the next one starts."""
        end = lines.raw.index(b"\n", at)
        line = bytes(lines.raw[at:end])
        if line.strip() and not line.startswith(PASSED_OVER):
            raise self.bad(lines, at, "not understood:")
        if switch := SWITCH.match(line):
            if not 0 < int(switch[1]) < k.THREADS:
                raise self.bad(lines, at, "too many threads:")
            self.kept.switch(int(switch[1]))
        elif command := COMMAND.match(line):
            self.command = command[1].decode(errors="replace")
        self.kept.scan.now[k.LINES] += 1
        return end + 1

    def finish(self, names: Mapping[int, str], regions: list[parquet.Range], partial: bool) -> Converted:
        """The end of the log: complete the file."""
        kept, markers = self.kept, self.markers
        markers.end()
        if not markers.counted:
            inside = "" if markers.where == "all" else " while its markers say that counting is on"
            raise UserError(f"no memory access{inside}", self.name, EXPECTED)
        kept.flush()
        markers.drop_pending()
        found = {name: kept.flow_count(what) for name, what in FLOW_COUNTS.items()}
        instructions = kept.count(k.INSTRUCTIONS)
        done = Converted(
            lines=kept.count(k.LINES),
            instructions=instructions,
            loads=kept.count(k.LOADS),
            stores=kept.count(k.STORES),
            records=kept.writer.rows,
            threads=len(kept.threads),
            sites=kept.count(k.SITES),
            markers=markers.where != "all",
            dropped_before=markers.dropped_before,
            dropped_after=markers.dropped_after,
            instructions_after=markers.instructions_after,
            exact=kept.flow is not None and found["unknown_code"] <= UNKNOWN_SHARE * instructions > 0,
            waits=int(kept.handover.now[handover.TOKENS]),
            **found,
        )
        kept.writer.commit(self.meta(done, names, regions, partial))
        return done

    def meta(
        self, done: Converted, names: Mapping[int, str], regions: list[parquet.Range], partial: bool
    ) -> parquet.Meta:
        """What the file says of itself."""
        codes = self.kept.scan.site_code[: done.sites].tolist()
        sites = [f"{code:#x}" if code != k.NO_CODE else "unknown" for code in codes]
        return parquet.Meta(
            reader=self.reader,
            source=self.command,
            dependence="exact" if done.exact else "unknown",
            markers=done.markers,
            sites=sites + ["other"] * (done.sites == k.SITE_LIMIT),
            threads=sorted(self.kept.threads),
            regions=regions,
            counts={name: int(value) for name, value in done._asdict().items()},
            partial=partial,
            code=self.kept.decoder.code.files() if self.kept.decoder else [],
            stretches=self.markers.stretches(names),
        )
