"""Small simulations for tests: records written down one by one, run, and what became of each of them.

Times are whole picoseconds in the engine and nanoseconds here, unless a name says ps. The teaching machine's cycle is
one nanosecond.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numasim.assets import shipped
from numasim.engine import state as st
from numasim.engine.feed import Length
from numasim.engine.output import ACCESS_CAUSES, RawResult
from numasim.engine.simulate import Run, Thread
from numasim.machine import Machine, load
from numasim.memory import AddressSpace, PageMap, Placement
from numasim.traces.records import ATOMIC, BARRIER, BRANCH, LOAD, MARK, OP_END, STORE, WAIT, Records
from numasim.workloads.base import ThreadProgram

L1, L2, L3, LOCAL, REMOTE, HIT, HITM = 1, 5, 20, 100, 200, 40, 45  # ns a load takes on it, says its model file
MIB = 1 << 20
COLD = Length(0, 0, 1)  # one lap, all of which counts
Row = dict[str, int]
Rows = Sequence[Row] | Records


def row(kind: int, address: int, **fields: int) -> Row:
    return {"kind": kind, "address": address, "size": 8, "insns": 1, **fields}


def ld(address: int, **fields: int) -> Row:
    return row(LOAD, address, **fields)


def store(address: int, **fields: int) -> Row:
    return row(STORE, address, **fields)


def atomic(address: int, **fields: int) -> Row:
    return row(ATOMIC, address, **fields)


def branch(address: int, taken: int, **fields: int) -> Row:
    return row(BRANCH, address, taken=taken, **fields)


def op_end() -> Row:
    return row(MARK, OP_END)


def barrier(number: int) -> Row:
    return row(BARRIER, number)


def pause(cycles: int) -> Row:
    return row(WAIT, cycles)


def records(rows: Rows) -> Records:
    """Rows as columns. A row that names no site is its own, so that each is counted apart."""
    if isinstance(rows, Records):
        return rows
    whole = [{"site": k % 255, **r} for k, r in enumerate(rows)]
    return Records(*(np.array([r.get(name, 0) for r in whole], np.int64) for name in Records._fields))


def loads(addresses: Any, dependent: bool, **fields: Any) -> Records:
    """Loads of these addresses, each needing the one before or none."""
    return Records(np.asarray(addresses, np.int64), dep0=1 if dependent else 0, **fields)


def program(
    *laps: Rows, operations: bool = False, barriers: tuple[int, ...] = (), endless: bool = False, chunk: int = 1 << 16
) -> ThreadProgram:
    """Laps in order, the last one again and again, in chunks of so many records."""
    made = [records(lap) for lap in laps]

    def lap(number: int) -> Iterator[Records]:
        r = made[min(number, len(made) - 1)]
        for first in range(0, len(r.address), chunk):
            columns: list[Any] = list(r)
            yield Records(*(c if np.ndim(c) == 0 else c[first : first + chunk] for c in columns))

    return ThreadProgram(lap, len(made[-1].address), False, endless=endless, operations=operations, barriers=barriers)


def laid(
    machine: Machine, *sizes: int, pages: str = "2m", nodes: tuple[int, ...] = (0,), seed: int = 1, **keys: Any
) -> PageMap:
    """Regions of these sizes one after the other from address 0 on, each bound to its node of `nodes` (the last one
    again), in 2 MiB pages."""
    space = AddressSpace(machine, seed, pages=pages, **keys)
    for k, size in enumerate(sizes):
        node = nodes[min(k, len(nodes) - 1)]
        space.region(f"region {k}", size, placement=Placement("bind", (node,)), touch_node=node)
    return space.finish()


class Done(NamedTuple):
    """A simulation that has ended."""

    run: Run
    raw: RawResult

    def counter(self, name: str, site: int | None = None, group: int | None = None) -> int:
        """perf's count, of one site or group or all."""
        column = self.raw.counters[:, self.raw.event_names.index(name)]
        return int(sum(column[k] for k in self._classes(site, group)))

    def latency(self, site: int, group: int | None = None) -> float:
        """What the accesses of a site took, all the same."""
        mine = self._classes(site, group)
        low, high = min(self.raw.access_min_ps[k] for k in mine), max(self.raw.access_max_ps[k] for k in mine)
        assert low == high, f"site {site}: {low} to {high} ps"
        return float(low) / 1000

    def stack(self, site: int | None = None, group: int | None = None) -> dict[str, float]:
        """Mean nanoseconds an access by cause; causes without any left out."""
        rows = sum(self.raw.access_rows[k].sum(axis=0) for k in self._classes(site, group))
        named = dict(zip(ACCESS_CAUSES, rows[:15] / rows[15] / 1000, strict=True))
        return {cause: float(ns) for cause, ns in named.items() if ns}

    def accesses(self, site: int | None = None, group: int | None = None) -> int:
        return int(sum(self.raw.access_rows[k, :, 15].sum() for k in self._classes(site, group)))

    def mean(self, site: int | None = None, group: int | None = None) -> float:
        return sum(self.stack(site, group).values())

    def _classes(self, site: int | None, group: int | None) -> list[int]:
        found = [
            k
            for k, (g, s, _) in enumerate(self.raw.classes)
            if (site is None or s == site) and (group is None or g == group)
        ]
        assert found, f"nothing counted of site {site}, group {group}"
        return found

    def known(self, back: int, thread: int = 0) -> float:
        """When the address of a record was known: 1 the last one of the thread, since counting began."""
        return self._of(self.run.m.win.at, back, thread)

    def ended(self, back: int, thread: int = 0) -> float:
        """When the value of a record was there: 1 the last one of the thread, since counting began."""
        return self._of(self.run.m.win.comp, back, thread)

    def _of(self, field: st.Array, back: int, thread: int) -> float:
        f = self.run.m.front
        assert 0 < back < st.RING and f.shift[thread] == 0
        entry = thread * st.RING + (int(f.pos[thread]) - back) % st.RING
        return float(field[entry << st.WIN_SHIFT] - self.run.m.control[st.K_ORIGIN]) / 1000

    @property
    def time(self) -> float:
        """Nanoseconds from the start of counting until all threads had ended."""
        return self.raw.simulated_ps / 1000


def teaching(**changes: Any) -> Machine:
    """The teaching machine with changes: l1d__ways=4 for l1d.ways = 4."""
    return load("teaching-2s", set={key.replace("__", "."): value for key, value in changes.items()})


def with_curve(curve: list[list[float]], peak_gbps: float, **changes: Any) -> Machine:
    """The teaching machine whose nodes' memory is a curve of (GB/s, ns)."""
    text = (shipped("models") / "teaching-2s.toml").read_text()
    table = f'nodes = [0, 1]\nsize_bytes = "1GiB"\nkind = "curve"\ncurve = {curve}\npeak_gbps = {peak_gbps}\n\n'
    text = re.sub(r"(?<=\[memory\.dram\]\n).*?(?=\[os\])", table, text, flags=re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "teaching-curve.toml"
        file.write_text(text)
        return load(str(file), set={key.replace("__", "."): value for key, value in changes.items()})


def simulated(
    machine: Machine,
    pagemap: PageMap,
    *programs: ThreadProgram,
    cpus: Sequence[int] | None = None,
    length: Length | None = None,
    arrivals: Any = None,
    scheduler: str = "compiled",
    groups: Sequence[int] | None = None,
) -> Done:
    """Run programs, each on a CPU of its own from 0 on and counted as a group of its own. Unless `length` says else,
    lap 0 warms up and lap 1 counts."""
    cpus = range(len(programs)) if cpus is None else cpus
    groups = range(len(programs)) if groups is None else groups
    length = length or Length(1, 0, 1)
    threads = [
        Thread(cpu, group, p, length, 0, arrivals(k) if arrivals else None)
        for k, (cpu, group, p) in enumerate(zip(cpus, groups, programs, strict=True))
    ]
    run = Run(machine, pagemap, threads, [f"group {k}" for k in range(max(groups) + 1)])
    assert run.compiled() if scheduler == "compiled" else run.reference()
    return Done(run, run.result(1.0))
