"""Are real programs, recorded live, what their sources and cachegrind say of them?

tests/programs/check.py does the same for all programs beside it.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from programs import recorded


@pytest.fixture(autouse=True)
def _installed(program: Callable[[str], str]) -> None:
    for name in ("valgrind", "gcc", "g++"):
        program(name)


def test_dependent_look_ups_of_an_unordered_map_are_one_chain(tmp_path: Path) -> None:
    """A look-up loads the key's stack slot (the function that finds it takes a reference), the bucket, its first node,
    the nodes it passes, the value; all but the key's neighbours in the bucket are needed for the next. What else it
    loads (the size, the keys of the nodes) lies beside the chain."""
    lookups = 4000
    maps = recorded.build(tmp_path, "maps.cc")
    run = recorded.record(tmp_path / "t.parquet", maps, "unordered", "dependent", 500, lookups)
    assert run.info["dependence"] == "exact"
    said = (4 + run.figure("passed")) * lookups / 2  # those that warm up are a chain of their own
    assert run.info["chain_loads"] == pytest.approx(said, rel=0.01)
    assert 0.15 < run.info["chain_share"] < 0.25
    assert any("_Hashtable" in site["name"] for site in run.info["sites"])
    sources = {Path(site["source"]).name for site in run.info["sites"]}
    assert "hashtable.h" in sources and "" not in sources


def test_misses_and_mispredictions_are_cachegrinds(tmp_path: Path) -> None:
    """The whole program, from the loader's first instruction on."""
    lists = recorded.build(tmp_path, "lists.c", "lists-whole", marked=False)
    command = (lists, "list", "shuffled", 10_000, 4)
    theirs = recorded.cachegrind(tmp_path, *command)
    trace = recorded.record(tmp_path / "t.parquet", *command).trace
    d1, ll = recorded.simulated_misses(trace)
    assert d1 == pytest.approx(theirs.d1, rel=0.02)
    assert ll == pytest.approx(theirs.ll, rel=0.02)
    _, mispredicted = recorded.cachegrinds_guess(trace)
    assert mispredicted == pytest.approx(theirs.mispredicted, rel=0.02)
