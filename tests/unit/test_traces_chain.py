"""Is the longest chain that of a recursion without a window?"""

from pathlib import Path

import numpy as np
import pytest

from numasim.traces.chain import Chain, longest
from numasim.traces.parquet import Columns, Meta, Reader, Writer
from numasim.traces.records import ATOMIC, BRANCH, LOAD, MARK, STORE


def of(tmp_path: Path, **columns: object) -> Chain:
    with Writer(tmp_path / "t.parquet") as writer:
        writer.write(Columns(**columns))  # type: ignore[arg-type]
        writer.commit(Meta())
    return longest(Reader(tmp_path / "t.parquet"))


@pytest.mark.parametrize("back", [1, 2, 10, 255])
def test_every_nth_load(back: int, tmp_path: Path) -> None:
    n = 5000
    found = of(tmp_path, address=np.arange(n), dep0=np.full(n, back))
    assert found == Chain(n, -(-n // back), n / -(-n // back), {1: (n, -(-n // back))})
    assert found.share == -(-n // back) / n


def test_no_needs_and_no_loads(tmp_path: Path) -> None:
    assert of(tmp_path, address=np.arange(10)).longest == 1
    none = of(tmp_path, address=np.arange(10), kind=STORE)
    assert (none.loads, none.longest, none.share, none.mean_overlap, none.by_thread) == (0, 0, 0.0, 0.0, {})


def test_a_chain_goes_through_stores_but_they_do_not_count(tmp_path: Path) -> None:
    kind = np.array([LOAD, STORE, LOAD, LOAD] * 50)
    dep0 = np.array([1, 1, 0, 1] * 50)  # load, its store, a load of that by fwd, a load that needs it
    fwd = np.array([0, 0, 1, 0] * 50)
    dep0[0] = 0
    assert of(tmp_path, address=np.arange(200), kind=kind, dep0=dep0, fwd=fwd).longest == 150


@pytest.mark.parametrize("seed", range(5))
def test_random_needs(seed: int, tmp_path: Path) -> None:
    r = np.random.default_rng(seed)
    n = 3000
    thread, kind = r.integers(1, 4, n), r.choice([LOAD, LOAD, STORE, ATOMIC, BRANCH, MARK], n)
    needs = {name: r.integers(0, 256, n) * (r.random(n) < 0.05) for name in ("dep0", "dep1", "dep2", "fwd")}
    found = of(tmp_path, address=np.arange(n), thread=thread, kind=kind, **needs)
    deepest, loads = {}, {}
    for t in (1, 2, 3):
        mine = np.flatnonzero(thread == t).tolist()
        depth: list[int] = []
        for i, row in enumerate(mine):
            before = [depth[i - needs[name][row]] for name in needs if 0 < needs[name][row] <= i]
            depth.append(max(before, default=0) + int(kind[row] in (LOAD, ATOMIC)))
        loads[t] = sum(kind[row] in (LOAD, ATOMIC) for row in mine)
        deepest[t] = max(depth[i] for i, row in enumerate(mine) if kind[row] in (LOAD, ATOMIC))
    assert found.by_thread == {t: (loads[t], deepest[t]) for t in (1, 2, 3)}
    assert (found.loads, found.longest) == (sum(loads.values()), sum(deepest.values()))
