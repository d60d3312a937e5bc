"""Are chains written, where that is asked for, before they are followed: which lines, in what order?"""

from typing import Any

import numpy as np
import pytest

from numasim.errors import UserError
from numasim.traces.records import CHUNK, COUNT_OFF, COUNT_ON, LOAD, MARK, STORE, Records
from numasim.workloads import make
from unit.test_workloads import build, lap


def built(written: int | None, **keys: Any) -> tuple[Records, Records, int]:
    """What is written first, all the rest, and where the buffer begins."""
    program, space = build("chains", **keys, **({} if written is None else {"written": written}))
    r = lap(program.threads[0])
    first = int(np.argmin(r.kind == STORE))
    columns = list(r)
    return Records(*(c[:first] for c in columns)), Records(*(c[first:] for c in columns)), space.regions[0].base


def same(one: Records, other: Records) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("size", [64 * 1024, 64 * 777])
@pytest.mark.parametrize("written", [1, 100, 776, 1024, 10**6])
def test_the_last_lines_are_written_in_the_order_of_their_addresses(size: int, written: int) -> None:
    stores, rest, base = built(written, size=size, lead=50, loads=200)
    lines = range(size // 64)[-written:]
    assert stores.address.tolist() == [base + 64 * line for line in lines]
    assert (stores.kind == STORE).all() and (stores.size == 8).all() and (stores.insns == 4).all()
    for nothing in (stores.dep0, stores.dep1, stores.dep2, stores.fwd, stores.taken):
        assert not nothing.any(), "no address of one hangs on another"
    assert not (rest.kind == STORE).any()


@pytest.mark.parametrize(
    "keys",
    [
        {"size": "64k", "lead": 20},
        {"size": "64k", "chains": 7},
        {"size": "256k", "within": "page"},
        {"size": "1MiB", "every": "4k"},
        {"size": "64k", "stamp": 30},
    ],
)
def test_what_comes_after_is_what_comes_without(keys: dict[str, Any]) -> None:
    none, plain, _ = built(None, loads=500, **keys)
    zero, as_plain, _ = built(0, loads=500, **keys)
    some, after, _ = built(40, loads=500, **keys)
    assert (len(none.address), len(zero.address)) == (0, 0) and len(some.address) == min(40, 1 << 20)
    assert same(plain, as_plain) and same(plain, after)


def test_what_is_written_does_not_count() -> None:
    """The lead comes after it, and then the mark from which on things count."""
    stores, rest, _ = built(300, size="64k", lead=20, loads=100)
    marks = rest.address[rest.kind == MARK].tolist()
    assert marks == [COUNT_ON, COUNT_OFF]
    assert len(stores.address) == 300 and np.flatnonzero(rest.kind == MARK).tolist() == [20, 121]
    sites = build("chains", written=1, size="64k")[0].sites
    assert len(set(sites)) == len(sites) == 3
    assert {int(s) for s in stores.site} == {2} and set(rest.site[rest.kind == LOAD].tolist()) == {0, 1}


def test_of_much_no_chunk_is_too_long() -> None:
    """`lap` looks at each chunk's length."""
    lines = 2 * CHUNK + 5
    stores, _, base = built(lines, size=64 * lines, loads=10)
    assert (np.diff(stores.address) == 64).all() and (stores.address[0], len(stores.address)) == (base, lines)


@pytest.mark.parametrize("keys", [{"size": "64k"}, {"size": "64k", "chains": 4}, {"size": "256k", "within": "page"}])
def test_lines_of_chains_are_those_that_were_written(keys: dict[str, Any]) -> None:
    stores, rest, _ = built(10**6, loads=4096, **keys)
    assert set(stores.address.tolist()) == set(rest.address[rest.kind == LOAD].tolist())


@pytest.mark.parametrize("every", ["128", "4k", "2MiB"])
def test_lines_of_chains_with_gaps_are_those_that_were_written(every: str) -> None:
    """A line of each page, say, not the same one of each: what builds the chain writes to that line."""
    size = 64 * int({"128": 128, "4k": 4096, "2MiB": 1 << 21}[every])
    stores, rest, _ = built(10**6, size=size, every=every, loads=64)
    assert set(stores.address.tolist()) == set(rest.address[rest.kind == LOAD].tolist())


def test_accesses_of_a_lap_are_all_of_them() -> None:
    """Stores too."""
    program, _ = build("chains", size="64k", written=300, lead=20, loads=100)
    r = lap(program.threads[0])
    assert program.threads[0].lap_accesses == np.count_nonzero((r.kind == LOAD) | (r.kind == STORE)) == 420


@pytest.mark.parametrize("bad", ["-1", "many", "0.5"])
def test_what_is_no_number_of_lines_is_told(bad: str) -> None:
    with pytest.raises(UserError, match="written"):
        make("chains", {"written": bad})
