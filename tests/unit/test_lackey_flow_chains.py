"""A recorded program whose chains of loads follow from its source: tests/data/lackey/chains.c."""

from pathlib import Path

import numpy as np
import pytest

from numasim.traces.chain import longest
from numasim.traces.code import images
from numasim.traces.parquet import Reader
from numasim.traces.readers import lackey
from numasim.traces.records import BRANCH, LOAD

FOLDER = Path(__file__).parents[1] / "data" / "lackey"
NODES, KEYS, BUCKETS, LOOKUPS = 1000, 256, 64, 400


def shuffled() -> list[int]:
    """The order of the nodes, as the program makes it."""
    order, random = list(range(NODES)), 1
    for i in range(NODES - 1, 0, -1):
        random = (random * 6364136223846793005 + 1442695040888963407) % 2**64
        j = (random >> 33) % (i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def passed(key: int) -> int:
    """Nodes of its bucket that a look-up passes before its own: those put in later."""
    bucket = [(k * 0x9E3779B97F4A7C15 % 2**64) >> 58 for k in range(KEYS)]
    return sum(bucket[k] == bucket[key] for k in range(key + 1, KEYS))


def expected(stretch: int) -> int:
    """Loads on the longest chain."""
    if stretch == 0:
        return NODES  # next of each node
    if stretch == 1:
        return 2  # an index, and what it leads to
    if stretch == 3:
        return 1 + max(2 + passed(k % KEYS) for k in shuffled()[:LOOKUPS])  # key, bucket, next of those passed, value
    key, chain = 7, 0
    for _ in range(LOOKUPS):
        chain, key = chain + 2 + passed(key), (key * 37 + 11) % KEYS  # bucket, next of those passed, value
    return chain


@pytest.fixture(scope="module")
def code() -> images.Files:
    return images.parse([f"{FOLDER / 'chains'}@0"])


@pytest.mark.parametrize("stretch", range(4))
def test_the_chain_is_the_sources(stretch: int, code: images.Files, tmp_path: Path) -> None:
    done = lackey.convert(FOLDER / "chains.lackey.xz", tmp_path / "t.parquet", code=code, only=stretch)
    reader = Reader(tmp_path / "t.parquet")
    assert reader.meta.dependence == "exact"
    found = longest(reader)
    assert found.longest == expected(stretch)
    assert found.loads == done.loads
    assert found.mean_overlap == done.loads / expected(stretch)
    sums = stretch in (1, 3)  # the store of a sum needs all that was summed
    assert (done.unknown_code, done.incomplete) == (0, int(sums))


def test_the_rows_of_a_list_walk(code: images.Files, tmp_path: Path) -> None:
    lackey.convert(FOLDER / "chains.lackey.xz", tmp_path / "t.parquet", code=code, only=0)
    (chunk,) = Reader(tmp_path / "t.parquet").chunks()
    walk = np.asarray(chunk.site) == Reader(tmp_path / "t.parquet").meta.sites.index("0x401008")
    assert walk.sum() == NODES
    assert set(np.asarray(chunk.dep0)[walk][1:].tolist()) == {2}, "the load before, and the branch between them"
    branch = np.asarray(chunk.kind) == BRANCH
    assert np.asarray(chunk.taken)[branch].sum() == NODES - 1
    assert (np.asarray(chunk.dep0)[branch] == 1).all()


def test_stretches_are_told_by_number_and_name(code: images.Files, tmp_path: Path) -> None:
    done = lackey.convert(FOLDER / "chains.lackey.xz", tmp_path / "t.parquet", code=code, names={2: "look-ups"})
    meta = Reader(tmp_path / "t.parquet").meta
    assert [(s.id, s.name, s.entries) for s in meta.stretches] == [
        (0, "stretch 0", 1),
        (1, "stretch 1", 1),
        (2, "look-ups", 1),
        (3, "stretch 3", 1),
    ]
    assert meta.stretches[0].accesses == NODES + 3  # the return address, there and back, and the result
    assert sum(s.accesses for s in meta.stretches) <= done.loads + done.stores
    named = lackey.convert(
        FOLDER / "chains.lackey.xz", tmp_path / "n.parquet", code=code, names={2: "look-ups"}, only="look-ups"
    )
    assert named == lackey.convert(FOLDER / "chains.lackey.xz", tmp_path / "n.parquet", code=code, only=2)


def test_without_code_nothing_is_known(tmp_path: Path) -> None:
    done = lackey.convert(FOLDER / "chains.lackey.xz", tmp_path / "t.parquet")
    reader = Reader(tmp_path / "t.parquet")
    assert (reader.meta.dependence, done.exact, done.branches) == ("unknown", False, 0)
    (chunk,) = reader.chunks()
    assert not np.asarray(chunk.dep0)[np.asarray(chunk.kind) == LOAD].any()


def test_code_at_a_wrong_bias_is_noticed(tmp_path: Path) -> None:
    wrong = images.parse([f"{FOLDER / 'chains'}@0x1000"])
    done = lackey.convert(FOLDER / "chains.lackey.xz", tmp_path / "t.parquet", code=wrong)
    assert done.unknown_code > 0.5 * done.instructions
    assert Reader(tmp_path / "t.parquet").meta.dependence == "unknown"
