"""Is what is told of a trace what a naive count of its rows gives?"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from numasim.errors import UserError
from numasim.machine import load
from numasim.study.trace_branches import branches
from numasim.traces import info as module
from numasim.traces.info import RegionFinder, Touched, info
from numasim.traces.parquet import Columns, Meta, Range, Reader, Writer
from numasim.traces.records import ATOMIC, BRANCH, LOAD, MARK, STORE
from theory import naive_predictors

REGIONS = [Range("heap", 0x1000, 0x3000), Range("table", 0x2800, 0x9000), Range("heap", 0x20000, 0x30000)]


def made(path: Path, columns: Columns, **meta: object) -> Reader:
    with Writer(path) as writer:
        writer.write(columns)
        writer.commit(Meta(**meta))  # type: ignore[arg-type]
    return Reader(path)


@pytest.fixture
def rows() -> Columns:
    random = np.random.default_rng(1)
    n = 3000
    kind = random.choice([LOAD, STORE, ATOMIC, BRANCH, MARK], n, p=[0.5, 0.2, 0.1, 0.19, 0.01]).astype(np.uint8)
    return Columns(
        random.integers(0, 0x40000, n),
        random.choice([1, 2, 700], n).astype(np.uint16),
        random.integers(0, 5, n).astype(np.uint16),
        kind,
        random.integers(1, 65, n).astype(np.uint8),
        random.integers(0, 9, n).astype(np.uint8),
    )


def naive_region(address: int) -> str:
    return next((r.name for r in REGIONS if r.start <= address < r.end), "data")


def test_counts_are_those_of_a_naive_loop(tmp_path: Path, rows: Columns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MERGE", 100)  # so that lines are merged many times
    found = info(made(tmp_path / "t.parquet", rows, sites=list("abcde"), regions=REGIONS))
    kinds, sites, threads, regions, lines = Counter(), Counter(), Counter(), Counter(), set()
    for address, thread, site, kind, size in zip(*(np.asarray(c).tolist() for c in rows[:5]), strict=True):
        kinds[kind] += 1
        if kind <= ATOMIC:
            sites["abcde"[site]] += 1
            threads[thread] += 1
            regions[naive_region(address)] += 1
            lines |= {byte // 64 for byte in (address, address + size - 1)}
    assert {n: c for n, c in found.records.items() if c} == {
        name: kinds[k] for k, name in enumerate(found.records) if kinds[k]
    }
    assert found.instructions == int(np.asarray(rows.insns, np.int64).sum())
    assert {s.name: s.accesses for s in found.sites} == sites
    assert found.threads == threads
    assert (found.lines, found.pages) == (len(lines), len({line // 64 for line in lines}))
    assert {r.name: r.accesses for r in found.regions} == regions
    assert {r.name: r.lines for r in found.regions} == Counter(naive_region(64 * line) for line in lines)
    ranked = [s.accesses for s in found.sites]
    assert ranked == sorted(ranked, reverse=True)


def test_lines_are_kept_once_however_often_they_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MERGE", 1)
    touched, size = Touched(), np.full(2, 8, np.uint8)
    for start in (0, 64, 0, 1 << 40, 60):
        touched.add(np.array([start, start + 4]), size)
    assert touched.lines().tolist() == [0, 1, 1 << 34]


def test_without_regions_stacks_are_known() -> None:
    finder = RegionFinder([])
    names = [finder.names[i] for i in finder.of(np.array([0x4000, 0x1FFF000000, 0x7FFD00000000, 0x7EB000000000]))]
    assert names == ["data", "stack", "stack", "data"]


def test_a_site_without_a_name_is_damage(tmp_path: Path, rows: Columns) -> None:
    with pytest.raises(UserError, match="site 4 has no name"):
        info(made(tmp_path / "t.parquet", rows, sites=["a", "b"]))


def test_an_empty_trace_has_nothing(tmp_path: Path) -> None:
    found = info(made(tmp_path / "t.parquet", Columns(np.zeros(0, np.int64))))
    assert (found.accesses, found.lines, found.regions, found.sites) == (0, 0, [], [])


@pytest.mark.parametrize("kind", ["gshare", "tage"])
def test_branches_are_guessed_by_the_machines_predictor(tmp_path: Path, kind: str) -> None:
    random, n = np.random.default_rng(2), 4000
    thread = random.choice([1, 2], n).astype(np.uint16)
    record = random.choice([LOAD, BRANCH], n).astype(np.uint8)
    address = random.choice([0x400, 0x406, 0x40A], n)
    taken = ((address == 0x400) | (random.random(n) < 0.2)).astype(np.uint8)
    columns = Columns(address, thread, 0, record, 8, 1, taken=taken)
    machine = load("icx-8360y-2s", set={"core.branch_predictor": kind, "core.predictor_bits": "6"})
    found = branches(made(tmp_path / "t.parquet", columns, sites=["a"]), machine)
    each = [
        [
            (int(a), int(t))
            for a, t, k, w in zip(address, taken, record, thread, strict=True)
            if k == BRANCH and w == number
        ]
        for number in (1, 2)
    ]
    assert found.branches == sum(map(len, each))
    assert found.mispredicted == sum(sum(getattr(naive_predictors, kind)(one, 6)) for one in each)
    assert 0 < found.mispredicted < found.branches / 2
