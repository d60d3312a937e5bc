"""Records the programs beside this file and compares what comes out with what is known of them.

    python tests/programs/check.py [--go GO ...] [--python PYTHON]

GO: Go compilers (1.23 has the classic map, 1.24 and later the swiss one). Needs valgrind, gcc and g++. Three tables:
loads on the longest chain against what the source says; misses and mispredictions against cachegrind's; times measured
here against simulated ones. Exits with 1 if a figure is out of its band.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import recorded
from recorded import Recording

SOURCES = {"maps": "cc", "lists": "c", "threads": "cc"}
POINT, MISSES, TIMES = 0.01, 0.02, 0.30  # bands: of shares, of misses, of ratios of times
ELEMENTS, LOOKUPS = 1000, 20_000
COUNTED = LOOKUPS // 2  # the chain of the other half, which warms up, is as long

# loads on the chain of look-ups that depend on each other, each: what the source and the compiled code say
CHAINS: dict[str, Callable[[Recording], float]] = {
    # the key's stack slot, the bucket, its first node, the nodes passed before its own, the value
    "maps unordered dependent": lambda r: COUNTED * (4 + r.figure("passed")),
    "maps unordered random": lambda r: 0,
    "maps tree dependent": lambda r: 0,  # a key is compared, and decides branches; no address is made of it
    "maps tree random": lambda r: 0,
    "maps tree repeating": lambda r: 0,
    "lists list shuffled": lambda r: ELEMENTS,  # a walk; the next one begins anew
    "lists list inorder": lambda r: ELEMENTS,
    "lists pointers shuffled": lambda r: 0,
    "threads": lambda r: 2 * ELEMENTS,  # each of the two walks a list of its own
    # the key's stack slot, which the hash function reads, and the value, at a place in the bucket that branches find
    "classic map dependent": lambda r: 2 * COUNTED,
    "classic map random": lambda r: COUNTED,  # the loop's counter, kept on the stack
    "classic list random": lambda r: ELEMENTS,
    "classic pointers random": lambda r: 0,
    # the key's stack slot, the table, its groups, the control word, the value at a place computed of it
    "swiss map dependent": lambda r: 5 * COUNTED,
    "swiss map random": lambda r: COUNTED,
    "swiss list random": lambda r: ELEMENTS,
    "swiss pointers random": lambda r: 0,
}


class Checks:
    """Prints rows, and remembers whether all were in their bands."""

    def __init__(self) -> None:
        self.good = True

    def row(self, good: bool, *cells: object) -> None:
        self.good &= good
        print("| " + " | ".join(map(str, cells)) + f" | {'' if good else 'OUT OF BAND'} |", flush=True)


def chains(checks: Checks, folder: Path, programs: dict[str, Path]) -> None:
    checks.row(True, "program", "loads", "chain", "source says", "share", "source says")
    for name, says in CHAINS.items():
        program, *words = name.split()
        if program not in programs:
            continue
        length = {"lists": 10, "threads": 4}.get(program, LOOKUPS)
        run = recorded.record(folder / "t.parquet", programs[program], *words, ELEMENTS, length)
        loads, chain, said = run.info["loads"], run.info["chain_loads"], says(run)
        good = abs(chain - said) / loads <= POINT
        checks.row(
            good, name, f"{loads:,}", f"{chain:,}", f"{said:,.0f}", f"{chain / loads:.2%}", f"{said / loads:.2%}"
        )


def python_chain(checks: Checks, folder: Path, python: str) -> None:
    """Look-ups in a dict: the key's digit, the index and the entry are a chain; the interpreter's own is longer."""
    lookups = 500
    program = recorded.HERE / "lookups.py"
    run = recorded.record(folder / "t.parquet", python, "-S", "-I", program, 100, lookups)
    loads, chain = run.info["loads"], run.info["chain_loads"]
    name = "dict dependent, in Python"
    checks.row(
        chain >= 3 * lookups, name, f"{loads:,}", f"{chain:,}", f"{3 * lookups:,} or more", f"{chain / loads:.2%}", ""
    )


def cachegrinds(checks: Checks, folder: Path) -> None:
    checks.row(True, "program", "D1 load misses", "cachegrind", "LL misses", "cachegrind", "mispredicted", "cachegrind")
    maps = recorded.build(folder, "maps.cc", "maps-whole", marked=False)
    lists = recorded.build(folder, "lists.c", "lists-whole", marked=False)
    for command in (
        (maps, "unordered", "random", 20_000, 40_000),
        (maps, "unordered", "dependent", 20_000, 40_000),
        (maps, "tree", "random", 20_000, 40_000),
        (lists, "list", "shuffled", 20_000, 4),
        (lists, "list", "inorder", 20_000, 4),
        (lists, "pointers", "shuffled", 20_000, 4),
    ):
        theirs = recorded.cachegrind(folder, *command)
        trace = recorded.record(folder / "t.parquet", *command).trace
        d1, ll = recorded.simulated_misses(trace)
        _, wrong = recorded.cachegrinds_guess(trace)
        pairs = (d1, theirs.d1), (ll, theirs.ll), (wrong, theirs.mispredicted)
        good = all(abs(ours / other - 1) <= MISSES for ours, other in pairs)
        cells = (f"{n:,}" for pair in pairs for n in pair)
        checks.row(good, " ".join(map(str, (command[0].name, *command[1:]))), *cells)


def times(checks: Checks, folder: Path, maps: Path) -> None:
    checks.row(True, "look-ups in a std::map of 512", "measured here, ns", "simulated, ns")
    found = {}
    for order in ("random", "repeating"):
        run = recorded.record(folder / "t.parquet", maps, "tree", order, 512, LOOKUPS)
        simulated = recorded.simulate(run.trace, "icx-8360y-2s")["simulated_ns"] / COUNTED
        measured = min(native(maps, "tree", order, "512", "400000") for _ in range(20))
        found[order] = measured, simulated
        checks.row(True, order, f"{measured:.1f}", f"{simulated:.1f}")
    measured, simulated = (found["random"][i] / found["repeating"][i] for i in (0, 1))
    checks.row(abs(simulated / measured - 1) <= TIMES, "ratio", f"{measured:.1f}", f"{simulated:.1f}")


def native(*command: str | Path) -> float:
    """Nanoseconds of a look-up, without valgrind."""
    printed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    return float(printed.split()[1])


def gos(folder: Path, compilers: list[str]) -> Iterator[tuple[str, Path]]:
    for go in compilers:
        version = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout.split()[2]
        name = "classic" if int(version.split(".")[1]) < 24 else "swiss"
        yield name, recorded.build_go(folder, go, name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--go", action="append", default=[], help="a Go compiler; repeatable")
    parser.add_argument("--python", help="a Python, for a dict's look-ups; takes minutes")
    words = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        programs = {name: recorded.build(folder, f"{name}.{end}") for name, end in SOURCES.items()}
        programs |= dict(gos(folder, words.go))
        chains(checks, folder, programs)
        if words.python:
            python_chain(checks, folder, words.python)
        cachegrinds(checks, folder)
        times(checks, folder, programs["maps"])
    return 0 if checks.good else 1


if __name__ == "__main__":
    sys.exit(main())
