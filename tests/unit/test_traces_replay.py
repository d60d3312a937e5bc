"""Does a trace file replay as recorded, moved to a compact space, with the dependences asked for?"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.errors import UserError
from numasim.traces.blocks import BLOCK
from numasim.traces.dependence import Rule
from numasim.traces.parquet import Columns, Meta, Range, Writer
from numasim.traces.records import ATOMIC, BRANCH, COUNT_OFF, COUNT_ON, LOAD, MARK, OP_END, STORE, Records
from numasim.traces.replay import AtLeastOne, TraceProgram, TraceThread, program


class Region(NamedTuple):
    name: str
    base: int
    size_bytes: int


class Space:
    """Regions one after the other, with a block free between them: what numasim.memory.AddressSpace promises."""

    def __init__(self) -> None:
        self.regions: list[Region] = []

    def region(self, name: str, size_bytes: int, *, touch_node: int | None = None) -> Region:
        assert touch_node == 7
        last = self.regions[-1] if self.regions else Region("", -BLOCK, 0)
        self.regions.append(Region(name, last.base + last.size_bytes + BLOCK, size_bytes))
        return self.regions[-1]


def write(path: Path, groups: list[Columns], **meta: object) -> Path:
    with Writer(path) as writer:
        for group in groups:
            writer.write(group)
        writer.commit(Meta(**({"sites": ["a", "b", "c"]} | meta)))  # type: ignore[arg-type]
    return path


def lap(thread: TraceThread, number: int = 0) -> Records:
    """A lap in one piece, every field an array."""
    chunks = list(thread.lap(number))
    rows = [len(chunk.address) for chunk in chunks]
    whole = [
        [np.broadcast_to(np.asarray(f), n) for f, n in zip(fields, rows, strict=True)]
        for fields in zip(*chunks, strict=True)
    ]
    return Records(*(np.concatenate(field) for field in whole))


def replay(path: Path, rule: str | None = None) -> tuple[TraceProgram, Space]:
    space = Space()
    return program(path, space, rule, touch_node=7), space


# ---- addresses ----

STACK = (0xFF80, 0xFFFF, 0x3FFFFFF)  # blocks of the main stack, under valgrind and not
block = st.sampled_from([0, 1, 2, 5, 0xFF7F, 0x10000, 0x2600000, *STACK])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(block, st.integers(0, BLOCK - 64), st.integers(1, 64)), min_size=1, max_size=60),
    st.integers(1, 9),
)
def test_addresses_move_by_whole_blocks(
    tmp_path_factory: pytest.TempPathFactory, touches: list[tuple[int, int, int]], group: int
) -> None:
    address = np.array([b * BLOCK + low for b, low, _ in touches])
    size = np.array([size for *_, size in touches], np.uint8)
    groups = [Columns(address[i : i + group], size=size[i : i + group]) for i in range(0, len(address), group)]
    got, space = replay(write(tmp_path_factory.mktemp("t") / "t", groups))
    moved = lap(got.threads[0])
    stack = [r for r in space.regions if r.name == "stack"]
    data = [r for r in space.regions if r.name == "data"]
    for name, region in (("stack", stack), ("data", data)):
        real = sorted({b for b, *_ in touches if (b in STACK) == (name == "stack")})
        assert [r.size_bytes for r in region] == [len(real) * BLOCK] * bool(real)
        for i, b in enumerate(real):
            mine = [n for n, touch in enumerate(touches) if touch[0] == b]
            assert (moved.address[mine] == address[mine] - b * BLOCK + region[0].base + i * BLOCK).all()
    assert np.array_equal(moved.size, size)


def test_an_access_across_blocks(tmp_path: Path) -> None:
    """It stays whole where the next block lies next in the compact space too; else it is cut."""
    end = BLOCK - 3
    ranges = [Range("one", 8 * BLOCK, 9 * BLOCK), Range("two", 9 * BLOCK, 11 * BLOCK)]
    path = write(tmp_path / "t", [Columns(np.array([end, 8 * BLOCK + end, 9 * BLOCK + end]))], regions=ranges)
    got, space = replay(path)
    assert [(r.name, r.size_bytes // BLOCK) for r in space.regions] == [("data", 2), ("one", 1), ("two", 2)]
    assert np.asarray(lap(got.threads[0]).size).tolist() == [8, 3, 8]


def test_what_has_no_data_address_stays(tmp_path: Path) -> None:
    kinds = np.array([LOAD, BRANCH, MARK, ATOMIC])
    path = write(
        tmp_path / "t",
        [Columns(np.array([7 * BLOCK, 0x401000, OP_END, 7 * BLOCK + 8]), kind=kinds, taken=[0, 1, 0, 0])],
    )
    got, _ = replay(path)
    records = lap(got.threads[0])
    assert records.address.tolist() == [0, 0x401000, OP_END, 8]
    assert np.asarray(records.taken).tolist() == [0, 1, 0, 0]
    assert (got.threads[0].lap_accesses, got.threads[0].operations) == (2, True)


# ---- threads, marks, sites, instructions ----


def test_threads_replay_apart_and_share_the_marks(tmp_path: Path) -> None:
    address = np.array([0, 8, COUNT_ON, 16, 24, OP_END, 32, 40, COUNT_OFF, 48])
    kind = np.array([LOAD, LOAD, MARK, LOAD, LOAD, MARK, LOAD, LOAD, MARK, LOAD])
    thread = np.array([1, 3, 1, 3, 3, 3, 1, 3, 3, 1])
    path = write(tmp_path / "t", [Columns(address, kind=kind, thread=thread)], threads=[1, 3])
    got, _ = replay(path)
    one, three = (lap(t) for t in got.threads)
    assert one.address.tolist() == [0, COUNT_ON, 32, COUNT_OFF]
    assert three.address.tolist() == [8, COUNT_ON, 16, 24, OP_END, 40, COUNT_OFF]
    assert [t.lap_accesses for t in got.threads] == [2, 4]
    assert [t.operations for t in got.threads] == [False, True]
    assert [t.counts for t in got.threads] == [True, True]
    assert got.left_out == 1, "what comes after the end"


def marked(path: Path, text: str, chunk: int) -> Path:
    """A trace of one thread by a word: ( and ) are marks, a letter a load with dependences one, two and three back."""
    codes = {"(": COUNT_ON, ")": COUNT_OFF}
    address = np.array([codes.get(c, 8 * ord(c)) for c in text])
    columns = Columns(address, kind=[MARK if c in codes else LOAD for c in text], dep0=1, dep1=2, dep2=3)
    groups = [
        Columns(*(np.broadcast_to(f, len(text))[i : i + chunk] for f in columns)) for i in range(0, len(text), chunk)
    ]
    return write(path, groups, dependence="exact")


@pytest.mark.parametrize(
    ("text", "replayed", "reach", "left_out"),
    [
        ("abcde", "abcde", "01233", 0),
        ("ab(cd)", "ab(cd)", "012333", 0),
        ("ab(cd)ef", "ab(cd)", "012333", 2),
        ("ab(cd)(efg)", "ab(cdefg)", "012330123", 0),
        ("(ab)wxyz(cd)", "(abcd)", "012012", 4),
        ("(ab)w(cdefg", "(abcdefg", "01201233", 1),
        ("(ab)w(cd)xy", "(abcd)", "012012", 3),
        ("(ab)()(c)", "(abc)", "01201", 0),
    ],
)
def test_regions_are_joined(text: str, replayed: str, reach: str, left_out: int, tmp_path: Path) -> None:
    """reach: how many of the three dependences a record keeps. Those over a joint would count rows that are gone."""
    for chunk in (1, 2, 100):
        got, _ = replay(marked(tmp_path / "t", text, chunk))
        records = lap(got.threads[0])
        codes = {COUNT_ON: "(", COUNT_OFF: ")"}
        kinds = np.asarray(records.kind).tolist()
        letters = [
            codes[a] if kind == MARK else chr(a // 8) for a, kind in zip(records.address.tolist(), kinds, strict=True)
        ]
        kept = np.sum([np.asarray(dep) > 0 for dep in (records.dep0, records.dep1, records.dep2)], axis=0).tolist()
        assert ("".join(letters), "".join(map(str, kept))) == (replayed, reach)
        assert got.left_out == left_out
        assert got.threads[0].lap_accesses == sum(c.isalpha() for c in replayed)


@pytest.mark.parametrize("text", [")a(b", "(a(b", "(a))b"])
def test_marks_out_of_turn(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="in turn"):
        replay(marked(tmp_path / "t", text, 100))


def test_exact_dependences_stay_but_reach_neither_before_the_trace_nor_past_a_strangers_mark(tmp_path: Path) -> None:
    kind = np.array([LOAD, LOAD, LOAD, MARK, LOAD, LOAD])
    thread = np.array([1, 1, 1, 2, 1, 1])
    columns = Columns(
        np.array([0, 8, 16, COUNT_ON, 24, 32]),
        kind=kind,
        thread=thread,
        dep0=[5, 1, 2, 0, 1, 1],
        dep1=[0, 2, 1, 0, 0, 2],
        fwd=[1, 1, 3, 0, 0, 0],
        lag0=9,
    )
    path = write(tmp_path / "t", [columns, Columns(np.array([0]), thread=2)], dependence="exact")
    got, _ = replay(path)
    assert got.dependence == "exact"
    records = lap(got.threads[0])
    assert np.asarray(records.dep0).tolist() == [0, 1, 2, 0, 0, 1]
    assert np.asarray(records.dep1).tolist() == [0, 0, 1, 0, 0, 0]
    assert np.asarray(records.fwd).tolist() == [0, 1, 0, 0, 0, 0]
    assert np.asarray(records.lag0).tolist()[0] == 9


def test_every_lap_is_the_same(tmp_path: Path) -> None:
    address = np.random.default_rng(1).integers(0, 1 << 24, 200_000)
    path = write(tmp_path / "t", [Columns(address, insns=np.arange(200_000) % 3)])
    got, _ = replay(path)
    first, second = lap(got.threads[0], 0), lap(got.threads[0], 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(len(chunk.address) <= 65536 for chunk in got.threads[0].lap(2))


def test_the_busiest_sites_keep_their_names(tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(1000)]
    site = np.concatenate(
        [np.arange(1000), np.arange(300, 553), np.full(5, 999)]
    )  # 253 twice, one six times, the rest once
    path = write(tmp_path / "t", [Columns(np.zeros(len(site), np.int64), site=site)], sites=names)
    got, _ = replay(path)
    assert len(got.sites) == 255
    assert set(got.sites) == {"s999", "other"} | {f"s{i}" for i in range(300, 553)}
    seen = [got.sites[i] for i in np.asarray(lap(got.threads[0]).site).tolist()]
    assert all(name in ("other", f"s{number}") for name, number in zip(seen, site.tolist(), strict=True))
    few = write(tmp_path / "few", [Columns(np.zeros(3, np.int64), site=[2, 0, 2])])
    assert replay(few)[0].sites == ["a", "b", "c"]


@given(st.lists(st.lists(st.sampled_from([0, 0, 0, 1, 2, 5, 255]), min_size=1), min_size=1))
def test_instructions_become_at_least_one_and_sums_stay(chunks: list[list[int]]) -> None:
    spread, debt = AtLeastOne(), 0
    for chunk in chunks:
        expected = []
        for insns in chunk:  # the rule, record by record
            made = max(1, insns - debt)
            debt += made - insns
            expected.append(made)
        assert spread.spread(np.array(chunk, np.uint8)).tolist() == expected


# ---- dependences by rule ----


@given(st.lists(st.lists(st.sampled_from([LOAD, LOAD, STORE, ATOMIC]), max_size=20), max_size=5), st.integers(0, 4))
def test_a_window_of_n_needs_the_nth_load_back(chunks: list[list[int]], window: int) -> None:
    rule = Rule({0: "none", 1: "chain"}.get(window, f"window:{window}"))
    earlier: list[int] = []
    seen = 0
    for chunk in chunks:
        where, back = rule.needs(np.array(chunk, np.uint8))
        expected = []
        for i, kind in enumerate(chunk):
            if kind != STORE:
                expected.append(seen + i - earlier[-window] if window and len(earlier) >= window else 0)
                earlier.append(seen + i)
        assert where.tolist() == [i for i, kind in enumerate(chunk) if kind != STORE]
        assert back.tolist() == expected
        seen += len(chunk)


def test_a_load_further_back_than_a_record_can_say_is_none(tmp_path: Path) -> None:
    kind = np.array([LOAD] + [STORE] * 254 + [LOAD] + [STORE] * 255 + [LOAD])
    got, _ = replay(write(tmp_path / "t", [Columns(np.zeros(len(kind), np.int64), kind=kind)]), "chain")
    dep = np.asarray(lap(got.threads[0]).dep0)
    assert dep[kind == LOAD].tolist() == [0, 255, 0]


def test_a_store_keeps_the_load_of_its_own_instruction(tmp_path: Path) -> None:
    """Whatever the rule: the log does say that."""
    kind = [LOAD, LOAD, STORE, LOAD]
    path = write(tmp_path / "t", [Columns(np.zeros(4, np.int64), kind=kind, dep0=[0, 0, 1, 0], lag0=[0, 0, 1, 0])])
    for rule, expected in (("chain", [0, 1, 1, 2]), ("none", [0, 0, 1, 0]), ("window:2", [0, 0, 1, 3])):
        got, _ = replay(path, rule)
        records = lap(got.threads[0])
        assert (got.dependence, np.asarray(records.dep0).tolist()) == (rule, expected)
        assert np.asarray(records.lag0).tolist() == [0, 0, 1, 0]


def test_the_rule_in_use_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "t", [Columns(np.zeros(4, np.int64))])
    exact = write(tmp_path / "exact", [Columns(np.zeros(4, np.int64))], dependence="exact")
    assert [replay(path)[0].dependence, replay(exact)[0].dependence] == ["chain", "exact"]
    assert [replay(p, "window:007")[0].dependence for p in (path, exact)] == ["window:7"] * 2


@pytest.mark.parametrize(
    "rule", ["exact", "", "chains", "window", "window:", "window:0", "window:256", "window:-1", "window:x"]
)
def test_rules_that_are_none(rule: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t", [Columns(np.zeros(4, np.int64))])
    with pytest.raises(UserError, match=r"expected .*window:N"):
        replay(path, rule)


def test_traces_that_cannot_be_replayed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no memory access"):
        replay(write(tmp_path / "t", [Columns(np.array([COUNT_ON]), kind=MARK)]))
    with pytest.raises(UserError, match="thread 9 has no memory access"):
        replay(write(tmp_path / "t", [Columns(np.array([0]))], threads=[1, 9]))
    with pytest.raises(UserError, match="site 3 has no name"):
        replay(write(tmp_path / "t", [Columns(np.array([0]), site=3)]))
    got, _ = replay(write(tmp_path / "t", [Columns(np.array([0]))]))
    write(tmp_path / "t", [Columns(np.array([BLOCK]))])
    with pytest.raises(UserError, match="changed while it was read"):
        lap(got.threads[0])
