"""How memory grows with the length of a run, and the cost of an access with the number of cores."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numasim
from benchmarks import numasim_side
from benchmarks.cases import CORES, DRAM

# Prints the peak resident set of a process that did one run, in bytes. Not getrusage's: that one is inherited from the
# process that started it.
_CHILD = """
import re, sys
sys.path[:0] = sys.argv[3:]
from benchmarks import numasim_side
from benchmarks.cases import Case
numasim_side.run(Case("", int(sys.argv[1])), accesses=int(sys.argv[2]))
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024)
"""


def peak_rss_bytes(size_bytes: int, accesses: int) -> int:
    """Of a chase over so many bytes in a process of its own, from the start of Python to the result."""
    found_in = [Path(module.__file__).parents[1] for module in (numasim, numasim_side)]
    command = [sys.executable, "-c", _CHILD, str(size_bytes), str(accesses), *map(str, found_in)]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def cost_by_cores(counts: Sequence[int]) -> dict[int, float]:
    """CPU seconds an access from DRAM with so many cores at work: the best of three, since neighbours only add."""
    best: dict[int, float] = {}
    for _ in range(3):
        for cores in counts:
            size_bytes = max(CORES.size_bytes, DRAM.size_bytes // cores)  # all together leave the caches
            seconds = 1 / numasim_side.rate(CORES._replace(cores=cores, size_bytes=size_bytes))
            best[cores] = min(seconds, best.get(cores, seconds))
    return best
