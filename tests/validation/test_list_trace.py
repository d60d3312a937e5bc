"""Does a recorded walk of a real `std::list` meet the same misses as the synthetic list that claims its structure?

examples/traces/listwalk.parquet is a walk of 20,000 nodes of 24 bytes in shuffled order, recorded with valgrind; the
workload `list layout=std order=shuffled` lays out as many nodes as glibc's malloc would and visits them in a random
order of its own. What can differ is chance, and what the rule for the trace's dependences gets wrong.
"""

from functools import cache
from typing import Any

import pytest

import numasim as ns
from numasim.assets import shipped

ELEMENTS, WALKS = 20_000, 2
TRACES = shipped("models").parent / "examples" / "traces"
COUNTERS = (
    "L1-dcache-load-misses", "L2-hits", "LLC-loads", "LLC-load-misses", "dTLB-load-misses",
    "dtlb_load_misses.walk_completed",
)  # fmt: skip
MODELS = ("icx-8360y-2s", "teaching-2s")

# Each element of a walk hits or misses a level by the chance that its order makes; the second walk of the same order
# repeats the first. So a count an element, of its two loads, has a standard deviation of at most sqrt(2 x 1/4 / 20,000)
# = 0.005, the difference of two walks 0.007, and four of these are the band for the rule that is right:
BAND = 0.03
# `window:2`, each load needs the last but one, is what the program does but for the value, which needs no value before
# it. `chain` makes `next` wait for its own element's value, so that the two loads of an element that lies across two
# lines of a page never look for its translation at once. One element in two does; where the second-level TLB misses
# too, and both would walk, that is a look-up in twenty.
CHAIN_BAND = {"dTLB-load-misses": 0.06, "dtlb_load_misses.walk_completed": 0.06, "LLC-loads": 0.06}


@cache
def an_element(model: str, workload: str, **words: Any) -> dict[str, float]:
    """Counts an element, and the nanoseconds it takes."""
    result = ns.run(model, workload, **words)
    counted = ELEMENTS * WALKS
    return {name: result.counters.get(name, 0) / counted for name in COUNTERS} | {"ns": result.simulated_ns / counted}


def recorded(model: str, dependence: str, file: str = "listwalk.parquet") -> dict[str, float]:
    return an_element(model, "trace", file=str(TRACES / file), dependence=dependence)


def synthetic(model: str, order: str = "shuffled") -> dict[str, float]:
    return an_element(model, "list", layout="std", length=ELEMENTS, order=order, laps=WALKS, warmup=1)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dependence", ["window:2", "chain"])
def test_misses_an_element_agree(model: str, dependence: str) -> None:
    trace, twin = recorded(model, dependence), synthetic(model)
    print(f"\n{model}, dependence={dependence}: an element\n{'':34}recorded  synthetic  band")
    for name in COUNTERS:
        band = max(BAND, CHAIN_BAND.get(name, 0) if dependence == "chain" else 0)
        print(f"{name:34}{trace[name]:8.4f}{twin[name]:11.4f}{band:6.2f}")
        assert trace[name] == pytest.approx(twin[name], abs=band), name


@pytest.mark.parametrize("model", MODELS)
def test_the_time_an_element_takes_agrees(model: str) -> None:
    """With the rule that is right but for the value, which it makes wait: within a fifth, and the trace not faster."""
    trace, twin = recorded(model, "window:2")["ns"], synthetic(model)["ns"]
    assert 0.98 * twin <= trace <= 1.2 * twin


def test_misses_are_those_of_the_structure() -> None:
    """By hand, on the 8360Y: a node is 24 bytes, 16 bytes past a multiple of 32, so that one in two lies across two
    lines, its value in the second: 1.5 lines an element. Of 640,000 bytes L1 holds at most 48 KiB, which the recent
    past of a random walk hits so often, and the rest hits L2; the DTLB holds 64 of 157 pages."""
    held = 48 * 1024 / (ELEMENTS * 32)
    for counts in (recorded("icx-8360y-2s", "window:2"), synthetic("icx-8360y-2s")):
        assert 1.5 * (1 - held) - 0.02 <= counts["L1-dcache-load-misses"] <= 1.5
        assert counts["L2-hits"] == pytest.approx(counts["L1-dcache-load-misses"], abs=0.001)
        assert counts["dTLB-load-misses"] == pytest.approx(1 - 64 / 157, abs=BAND)
        assert counts["dtlb_load_misses.walk_completed"] < 0.001


@pytest.mark.parametrize("model", MODELS)
def test_in_the_order_of_allocation_hardly_anything_misses_the_tlb(model: str) -> None:
    """The other recorded walk: 128 elements a page, one look-up that misses the DTLB each. Here the values' waiting for
    one another costs time: each other one is the first of its line, which `next` then finds in L1."""
    trace = recorded(model, "window:2", "listwalk-inorder.parquet")
    twin = synthetic(model, "sequential")
    for name in ("dTLB-load-misses", "dtlb_load_misses.walk_completed"):
        assert trace[name] == pytest.approx(twin[name], abs=0.01)
    assert trace["dTLB-load-misses"] < 4 / 128
    assert 0.98 * twin["ns"] <= trace["ns"] <= 1.5 * twin["ns"]
