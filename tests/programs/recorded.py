"""Building the programs beside this file, recording them, and asking cachegrind about the same runs."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numasim.traces.parquet import Reader
from numasim.traces.records import BRANCH

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-O2", "-g"]
D1, LL = (32 << 10, 8), (256 << 10, 8)  # bytes and ways, lines of 64 bytes, LRU

# cachegrind's machine: two levels, LRU, no prefetch, no translation, no limit to what is known of pages
GEOMETRY = {
    "l1d.size_bytes": D1[0],
    "l1d.ways": D1[1],
    "l2.size_bytes": LL[0],
    "l2.ways": LL[1],
    "l3.size_bytes": "16MiB",
    "tlb.l1_2m_entries": 1024,
    "tlb.l1_2m_ways": 8,
    "memory.dram.size_bytes": "64GiB",
}


def build(folder: Path, source: str, name: str = "", marked: bool = True) -> Path:
    """Compile a C or C++ program. marked: with its markers; else all of it is recorded."""
    compiler = ["gcc", "-std=c99", "-D_DEFAULT_SOURCE"] if source.endswith(".c") else ["g++"]
    built = folder / (name or Path(source).stem)
    include = ROOT / "markers" if marked else HERE / "unmarked"
    subprocess.run([*compiler, *WARNINGS, f"-I{include}", "-o", built, HERE / source, "-pthread"], check=True)
    return built


def build_go(folder: Path, go: str, name: str) -> Path:
    """Compile the Go program with this `go`."""
    place = folder / f"{name}-source"
    place.mkdir(exist_ok=True)
    for source in (HERE / "structures.go", ROOT / "markers" / "numasim_markers.go"):
        shutil.copy(source, place)
    words = [go, "build", "-o", str(folder / name), "structures.go", "numasim_markers.go"]
    subprocess.run(words, check=True, cwd=place, env=os.environ | {"GO111MODULE": "off", "GOTOOLCHAIN": "local"})
    return folder / name


def numasim(*words: object) -> str:
    """What numasim prints."""
    line = [sys.executable, "-m", "numasim", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


class Recording(NamedTuple):
    """A recorded run. trace: its file.  printed: by the program.  info: of `numasim trace info --json`."""

    trace: Path
    printed: str
    info: dict[str, Any]

    def figure(self, word: str) -> float:
        """The number after a word the program printed."""
        found = re.search(rf"\b{word} (-?[0-9.]+)", self.printed)
        assert found, f"no {word} in {self.printed!r}"
        return float(found[1])


def record(trace: Path, *command: object) -> Recording:
    """Run a program and keep its trace."""
    printed = numasim("trace", "record", "-o", trace, "--", *command)
    return Recording(trace, printed, json.loads(numasim("trace", "info", trace, "--json", "--sites", 5)))


def simulate(trace: Path, model: str, *words: str, **changes: object) -> dict[str, Any]:
    """The result of a run, as JSON gives it. changes: of the machine, __ for a dot."""
    settings = [word for key, value in changes.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
    found: dict[str, Any] = json.loads(numasim("run", model, "trace", f"file={trace}", *words, *settings, "--json"))
    return found


class Counts(NamedTuple):
    """Loads that missed the first level, loads and stores that missed the last, conditional branches, and of those
    mispredicted."""

    d1: int
    ll: int
    branches: int
    mispredicted: int


def cachegrind(folder: Path, *command: object) -> Counts:
    """What cachegrind counts of a run. Its instruction cache is as large as it may be, so that data have LL alone."""
    out = folder / "cachegrind.out"
    words = ["--tool=cachegrind", "--cache-sim=yes", "--branch-sim=yes", f"--cachegrind-out-file={out}"]
    caches = ["--I1=1048576,16,64", f"--D1={D1[0]},{D1[1]},64", f"--LL={LL[0]},{LL[1]},64"]
    subprocess.run(["valgrind", *words, *caches, *map(str, command)], capture_output=True, check=True)
    text = out.read_text()
    events, summary = (re.search(rf"^{key}: (.*)$", text, re.MULTILINE) for key in ("events", "summary"))
    assert events and summary
    n: Mapping[str, int] = dict(zip(events[1].split(), map(int, summary[1].split()), strict=True))
    return Counts(n["D1mr"], n["DLmr"] + n["DLmw"], n["Bc"], n["Bcm"])


def simulated_misses(trace: Path) -> tuple[int, int]:
    """On cachegrind's machine in numasim: loads that missed the first level, loads and stores that missed the last."""
    changes = {key.replace(".", "__"): value for key, value in GEOMETRY.items()}
    counters = simulate(trace, "teaching-2s", "warmup=0", "laps=1", "--pages", "2m", **changes)["counters"]
    return counters["L1-dcache-load-misses"], counters["LLC-loads"]


def cachegrinds_guess(trace: Path) -> tuple[int, int]:
    """The branches of a trace, and those that cachegrind's rule would mispredict.

    Its rule (cg_branchpred.c of valgrind 3.19): 2^14 two-bit counters that begin at 0, numbered by the outcomes of the
    last 7 branches and 7 bits of the address.
    """
    counters, history, branches, wrong = bytearray(1 << 14), 0, 0, 0
    for chunk in Reader(trace).chunks(("address", "kind", "taken")):
        mine = np.asarray(chunk.kind) == BRANCH
        addresses: Sequence[int] = chunk.address[mine].tolist()
        branches += len(addresses)
        for address, taken in zip(addresses, np.asarray(chunk.taken)[mine].tolist(), strict=True):
            at = history << 7 | address & 127
            counter = counters[at]
            wrong += (counter >= 2) != taken
            counters[at] = min(counter + 1, 3) if taken else max(counter - 1, 0)
            history = (history << 1 | taken) & 127
    return branches, wrong
