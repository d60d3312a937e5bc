"""likwid-bench sweeps: bandwidth by the number of threads that read, from one output after another, or a CSV.

Of an output: "Test:", "Using N threads", "Size (Byte):" and "MByte/s:" (1e6 bytes a second). Where a number of threads
was measured with several sizes the largest counts: memory, not caches. Other kernels than reads are left out.
"""

import re
import statistics
from pathlib import Path
from typing import NamedTuple

from numasim.calibration.published import Cell
from numasim.calibration.readers.measured import Measured
from numasim.calibration.readers.text import fields, lines, number
from numasim.errors import UserError

READS = re.compile(r"(?:cl)?load(?:_\w+)?", re.IGNORECASE)
_TEST = re.compile(r"Test: *(\S+)")
_THREADS = re.compile(r"Using (\d+) threads?")
_SIZE = re.compile(r"Size \(Byte\): *(\d+)")
RATE = re.compile(r"MByte/s: *(\S*)")
THREADS_NAMES = ("threads", "nthreads", "cores", "ncores")
RATE_NAMES = ("mbyte/s", "mbytes/s", "mb/s", "bandwidth_mbps", "bandwidth_gbps", "gbyte/s", "gb/s", "bandwidth")
MOST_THREADS = 4096


class Run(NamedTuple):
    """One output. size_bytes: of all vectors, 0: not said."""

    kernel: str
    threads: int
    size_bytes: int
    gbps: float


def is_header(words: list[str]) -> bool:
    """Do these words head a CSV of such a sweep?"""
    low = [word.lower() for word in words]
    return any(word in THREADS_NAMES for word in low) and any(word in RATE_NAMES for word in low)


def read(path: str | Path) -> Measured:
    """cells: "stream" (threads), GB/s. Raises UserError with file and line."""
    rows = [(f"{path}:{count}", line.strip()) for count, line in enumerate(lines(path), 1)]
    filled = [(where, line) for where, line in rows if line]
    header = fields(filled[0][1], filled[0][0])
    runs = _of_csv(header, filled[1:]) if is_header(header) else _of_outputs(rows, str(path))
    reads = [run for run in runs if not run.kernel or READS.fullmatch(run.kernel)]
    kernels = list(dict.fromkeys(run.kernel for run in runs if run.kernel))
    if not reads:
        raise UserError(
            f"kernels {', '.join(kernels)}" if kernels else "has no figures", str(path), "load, load_avx .."
        )
    largest: dict[int, int] = {}
    for run in reads:
        largest[run.threads] = max(largest.get(run.threads, 0), run.size_bytes)
    cells = []
    for threads, size in sorted(largest.items()):
        of = [run.gbps for run in reads if (run.threads, run.size_bytes) == (threads, size)]
        cells.append(Cell("stream", (threads,), statistics.median(of)))
    environment = {"instrument": "likwid-bench", "kernels": ", ".join(kernels) or "not said"}
    others = [kernel for kernel in kernels if not READS.fullmatch(kernel)]
    if others:
        environment["left out"] = f"kernels that write: {', '.join(others)}"
    return Measured(cells, None, environment)


def _of_outputs(rows: list[tuple[str, str]], file: str) -> list[Run]:
    runs: list[Run] = []
    kernel, threads, size = "", 0, 0
    for where, line in rows:
        if test := _TEST.match(line):
            kernel, threads, size = test[1], 0, 0
        elif using := _THREADS.match(line):
            threads = _threads(using[1], where)
        elif found := _SIZE.match(line):
            size = int(found[1])
        elif rate := RATE.match(line):
            if not threads:
                raise UserError("a bandwidth of how many threads?", where, 'a line "Using N threads" before')
            runs.append(Run(kernel, threads, size, number(rate[1], where, "MByte/s, a number above 0") / 1e3))
            size = 0
    if not runs:
        raise UserError("has no figures", file, "lines MByte/s: of likwid-bench; is the log cut short?")
    return runs


def _threads(word: str, where: str) -> int:
    if not word.isdecimal() or not 1 <= int(word) <= MOST_THREADS:
        raise UserError(f"{word!r} threads", where, f"1 to {MOST_THREADS}")
    return int(word)


def _of_csv(header: list[str], rows: list[tuple[str, str]]) -> list[Run]:
    low = [word.lower() for word in header]
    threads = next(low.index(name) for name in THREADS_NAMES if name in low)
    rate = next(low.index(name) for name in RATE_NAMES if name in low)
    scale = 1.0 if low[rate] in ("bandwidth_gbps", "gbyte/s", "gb/s") else 1e9 if low[rate] == "bandwidth" else 1e3
    runs = []
    for where, line in rows:
        words = fields(line, where)
        if len(words) != len(header):
            raise UserError(f"{len(words)} values", where, f"{len(header)}, one for each column")
        gbps = number(words[rate], where, f"{header[rate]}, a number above 0", most=1e6 * scale) / scale
        runs.append(Run("", _threads(words[threads], where), 0, gbps))
    return runs
