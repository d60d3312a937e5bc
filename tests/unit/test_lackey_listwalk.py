"""Is the shipped trace of a std::list walk what its README says?"""

from pathlib import Path

import numpy as np

from numasim.traces.parquet import Columns, Reader
from numasim.traces.readers import lackey
from numasim.traces.records import COUNT_OFF, COUNT_ON, LOAD, MARK

FOLDER = Path(__file__).parents[2] / "examples" / "traces"
ELEMENTS, WALKS, NODE_BYTES = 20_000, 3, 32  # one walk of the three warms up


def columns(path: Path) -> Columns:
    chunks = list(Reader(path).chunks())
    return Columns(*(np.concatenate(field) for field in zip(*chunks, strict=True)))


def test_the_shipped_log_gives_the_shipped_trace(tmp_path: Path) -> None:
    done = lackey.convert(FOLDER / "listwalk.lackey.xz", tmp_path / "t.parquet")
    assert (done.lines, done.instructions, done.loads, done.stores) == (360_065, 240_028, 120_006, 3)
    made, shipped = columns(tmp_path / "t.parquet"), columns(FOLDER / "listwalk.parquet")
    assert all(np.array_equal(a, b) for a, b in zip(made, shipped, strict=True))


def test_the_trace_is_what_the_readme_says() -> None:
    for name in ("listwalk.parquet", "listwalk-inorder.parquet"):
        meta, c = Reader(FOLDER / name).meta, columns(FOLDER / name)
        kind, site, insns = np.asarray(c.kind), np.asarray(c.site), np.asarray(c.insns, np.int64)
        marks = np.flatnonzero(kind == MARK)
        assert c.address[marks].tolist() == [COUNT_ON, COUNT_OFF]
        value, following = ((site == meta.sites.index(code)) & (kind == LOAD) for code in ("0x1093f0", "0x1093f4"))
        assert value.sum() == following.sum() == ELEMENTS * WALKS
        counted = slice(marks[0] + 1, marks[1] + 1)
        assert insns[counted].sum() == 160_020
        assert (kind[counted] == LOAD).sum() == 80_004
        assert (c.address[value] == c.address[following] + 16).all(), "the value lies behind two pointers"
        nodes = np.unique(c.address[following])
        assert len(nodes) == ELEMENTS
        assert (np.diff(nodes) == NODE_BYTES).all()


def test_shuffled_nodes_lie_apart_and_each_walk_goes_the_same_way() -> None:
    for name, apart in (("listwalk.parquet", True), ("listwalk-inorder.parquet", False)):
        meta, c = Reader(FOLDER / name).meta, columns(FOLDER / name)
        walk = c.address[np.asarray(c.site) == meta.sites.index("0x1093f4")].reshape(WALKS, ELEMENTS)
        assert (walk == walk[0]).all()
        neighbours = np.diff(walk[0]) == NODE_BYTES
        assert neighbours.mean() < 0.001 if apart else neighbours.all()
