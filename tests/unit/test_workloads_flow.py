"""Do records depend on what their registers were loaded by; and are keys drawn as their distribution says?"""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.traces.records import BRANCH, LOAD, STORE
from numasim.workloads.flow import Code, Flow, Step
from numasim.workloads.keys import Distribution, Keys
from numasim.workloads.layouts import linked
from numasim.workloads.scripts import Script

REGISTERS = "abcd"
steps = st.builds(
    lambda kind, reads, writes: Step("here", kind, 1, dict(reads[:3]), tuple(writes) if kind == LOAD else ()),
    st.sampled_from([LOAD, LOAD, BRANCH, STORE]),
    st.lists(st.tuples(st.sampled_from(REGISTERS), st.integers(0, 127)), max_size=3, unique_by=lambda r: r[0]),
    st.sets(st.sampled_from(REGISTERS), max_size=2),
)


def naive(code: dict[str, Step], program: Sequence[str]) -> list[list[tuple[int, int]]]:
    """(how far back, lag) of each read, by a dictionary from register to the place it was last written."""
    written: dict[str, int] = {}
    out = []
    for place, name in enumerate(program):
        reads = [(place - written[r] if r in written else 0, lag) for r, lag in code[name].reads.items()]
        out.append([(back if back <= 255 else 0, lag) for back, lag in reads])
        written |= dict.fromkeys(code[name].writes, place)
    return out


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=1, max_size=6), st.data())
def test_dependences_are_those_of_a_naive_walk(table: list[Step], data: st.DataObject) -> None:
    code = {str(k): step for k, step in enumerate(table)}
    some = data.draw(st.lists(st.sampled_from(list(code)), min_size=1, max_size=30))
    program = some * data.draw(st.sampled_from([1, 2, 40]))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(program)), max_size=3)))
    compiled = Code(code)
    flow, got = Flow(compiled), []
    for first, stop in zip([0, *cuts], [*cuts, len(program)], strict=True):
        if first < stop:
            step = compiled.steps(*program[first:stop])
            records = flow.records(step, np.zeros(len(step), np.int64))
            columns = [records.dep0, records.lag0, records.dep1, records.lag1, records.dep2, records.lag2]
            got += np.stack([np.broadcast_to(np.asarray(c), len(step)) for c in columns], 1).tolist()
    for name, row, expected in zip(program, got, naive(code, program), strict=True):
        pairs = [(row[0], row[1]), (row[2], row[3]), (row[4], row[5])]
        assert pairs[: len(expected)] == expected
        assert all(dep == 0 for dep, _ in pairs[len(code[name].reads) :])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40), st.integers(1, 60), st.data())
def test_forwarding_finds_the_last_store_to_the_address(
    accesses: list[tuple[bool, int]], times: int, data: st.DataObject
) -> None:
    accesses = accesses * times
    code = Code({"load": Step("x", cell=True), "store": Step("x", STORE, cell=True)})
    cut = data.draw(st.integers(0, len(accesses)))
    flow, got = Flow(code), []
    for part in (accesses[:cut], accesses[cut:]):
        if part:
            step = code.steps(*("store" if store else "load" for store, _ in part))
            records = flow.records(step, np.array([8 * where for _, where in part], np.int64))
            got += np.asarray(records.fwd).tolist()
    last: dict[int, int] = {}
    for place, (store, where) in enumerate(accesses):
        back = place - last[where] if where in last and not store else 0
        assert got[place] == (back if back <= 255 else 0)
        if store:
            last[where] = place


def test_a_script_leaves_out_what_a_look_up_does_not_do() -> None:
    code = Code({"a": Step("x"), "b": Step("y", BRANCH)})
    script = Script(code, 3)
    script.do("a", np.array([10, 20, 30]))
    script.do("b", 7, np.array([True, False, True]), np.array([False, True, True]))
    script.do(np.array([0, 0, 1], np.uint8), np.array([11, 21, 31]), np.array([False, True, True]))
    step, address, taken = script.finish()
    assert address.tolist() == [10, 7, 20, 21, 30, 7, 31]
    assert step.tolist() == [0, 1, 0, 0, 0, 1, 1]
    assert taken.tolist() == [0, 0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("skew", [0.0, 0.5, 0.99, 1.0, 1.3, 3.0])
def test_keys_follow_their_distribution(skew: float) -> None:
    """Chi-square of 200,000 draws with 49 degrees of freedom; the quantile 99.9 % is 85.4."""
    keys = Keys(50, Distribution(skew))
    drawn = np.bincount(keys.draw(np.random.default_rng(3), 200_000), minlength=50)[keys.item(np.arange(50))]
    weights = np.arange(1, 51) ** -skew
    expected = 200_000 * weights / weights.sum()
    many = expected >= 5
    pooled = [*zip(drawn[many], expected[many], strict=True), (drawn[~many].sum(), expected[~many].sum())]
    assert sum((got - want) ** 2 / want for got, want in pooled if want) < 85.4


def test_popular_keys_are_not_neighbours_and_every_item_has_one_rank() -> None:
    for count in (1, 2, 3, 10, 64, 1000, 99_991):
        keys = Keys(count, Distribution(1.0))
        items = keys.item(np.arange(count))
        assert sorted(items.tolist()) == list(range(count))
        assert set(keys.draw(np.random.default_rng(1), 1000)) <= set(range(count))
        if count >= 10:
            assert np.abs(np.diff(items[:4])).min() > count // 5


def test_zipf_over_many_items_needs_no_table() -> None:
    keys = Keys(1 << 26, Distribution(0.8))
    drawn = keys.draw(np.random.default_rng(1), 100_000)
    first = np.count_nonzero(drawn == keys.item(np.array([0]))) / 100_000
    harmonic = (np.arange(1, 1 << 20) ** -0.8).sum() + ((1 << 26) ** 0.2 - (1 << 20) ** 0.2) / 0.2
    assert first == pytest.approx(1 / harmonic, rel=0.15)


def test_a_churned_order_keeps_a_share_of_exp_minus_churn_in_sequence() -> None:
    n = 200_000
    for churn in (0.3, 1.0, 2.0):
        order = linked("churned", n, churn, np.random.default_rng(5))
        assert sorted(order.tolist()) == list(range(n))
        survivors = np.argmax(np.diff(order) < 0)  # the leading run, up to chance at its end
        assert survivors / n == pytest.approx(np.exp(-churn), rel=0.02)
    assert linked("sequential", 5, 1, np.random.default_rng(5)).tolist() == [0, 1, 2, 3, 4]
    assert sorted(linked("shuffled", 50, 1, np.random.default_rng(5)).tolist()) == list(range(50))


def test_churn_is_what_a_list_that_reuses_memory_at_once_does() -> None:
    n, churn = 500, 1.5
    deleted = np.random.default_rng(9).integers(0, n, int(churn * n))
    naive_list = list(range(n))
    for slot in deleted.tolist():
        naive_list.remove(slot)
        naive_list.append(slot)
    assert linked("churned", n, churn, np.random.default_rng(9)).tolist() == naive_list
