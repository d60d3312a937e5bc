"""Do walks, streams and handovers touch what the real structures would touch, in that order?"""

import numpy as np
import pytest

from numasim.traces.records import (
    ATOMIC,
    BARRIER,
    BRANCH,
    COMPUTE,
    LOAD,
    LOCK,
    MARK,
    OP_BEGIN,
    OP_END,
    STORE,
    UNLOCK,
    WAIT,
)
from numasim.workloads import make
from numasim.workloads.layouts import linked, objects
from unit.test_workloads import build, context, lap


@pytest.mark.parametrize(
    "keys",
    [
        {"size": "64k"},
        {"size": "8MiB"},
        {"size": "64k", "within": "page"},
        {"size": "64k", "order": "stride", "stride": 64},
        {"size": "96k", "order": "stride", "stride": "4k"},
        {"size": 64},
    ],
)
def test_a_chase_is_one_cycle_through_all_lines(keys: dict[str, object]) -> None:
    program, space = build("chase", 2, **keys)
    for thread, region in zip(program.threads, space.regions, strict=True):
        r = lap(thread)
        lines = (r.address - region.base) // 64
        assert sorted(lines.tolist()) == list(range(region.size_bytes // 64))
        assert (r.address % 64 == 0).all() and (r.kind == LOAD).all() and (r.dep0 == 1).all() and (r.lag0 == 0).all()
        assert thread.same and thread.lap_accesses == len(lines)
    one, two = ((lap(t).address - x.base) // 64 for t, x in zip(program.threads, space.regions, strict=True))
    start = np.flatnonzero(one == two[0])[0]
    assert np.array_equal(np.roll(one, -start), two), "the same cycle, begun elsewhere"


def test_a_chase_within_pages_leaves_each_page_once() -> None:
    r = lap(build("chase", size="1MiB", within="page")[0].threads[0])
    pages = r.address >> 12
    assert np.count_nonzero(np.diff(pages)) == 255
    assert np.count_nonzero(np.abs(np.diff(r.address)) == 64) < 0.1 * len(pages), "but not line by line"


def test_a_random_chase_has_no_short_steps() -> None:
    r = lap(build("chase", size="8MiB")[0].threads[0])
    assert np.abs(np.diff(r.address)).mean() == pytest.approx((8 << 20) / 3, rel=0.02)


@pytest.mark.parametrize("order", ["sequential", "shuffled", "churned"])
@pytest.mark.parametrize("boxed", [True, False])
def test_a_go_list_is_walked_as_container_list_walks(order: str, boxed: bool) -> None:
    """An image of memory is built node by node, then followed pointer by pointer; each load's address must be the value
    that the load it depends on has read there."""
    n = 700
    program, space = build("list", length=n, order=order, boxed=boxed)
    r = lap(program.threads[0], 4)
    ctx = context()
    ctx.space.region("", 1, touch_node=0)
    nodes = (space.named("nodes")[0] + objects("auto", "go", 40, n, ctx.seed).offsets).tolist()
    order_of = linked(order, n, 1, ctx.random(0))
    turn = ctx.random(1).integers(0, n, 1)[0] * (order != "sequential")
    order_of = np.roll(order_of, -turn)
    boxes = (objects("auto", "go", 8, n, ctx.seed, noscan=True).offsets + (space.named("values") or [0])[0]).tolist()
    head = space.named("list head")[0]
    walk = [nodes[k] for k in order_of]
    memory = {head: walk[0]}
    for k, (at, following) in enumerate(zip(walk, [*walk[1:], head], strict=True)):
        memory |= {at: following, at + 0x10: head, at + 0x18: 111, at + 0x20: boxes[order_of[k]] if boxed else 5}
        memory |= {boxes[order_of[k]]: 7} if boxed else {}
    expected, e = [head], memory[head]
    while True:  # for e := l.Front(); e != nil; e = e.Next()
        expected += [e + 0x18, e + 0x20, *([memory[e + 0x20]] if boxed else []), e + 0x10, e]
        e = memory[e]
        if e == memory[walk[0] + 0x10]:
            break
    loads = np.flatnonzero(r.kind == LOAD)
    assert r.address[loads].tolist() == expected
    fields = {0x18: "type", 0x20: "data", 0x10: "list", 0: "next"}
    for i in loads[1:]:
        value = memory[int(r.address[i - r.dep0[i]])]
        assert r.dep0[i] and (r.address[i] - value in fields)
    branches = np.flatnonzero(r.kind == BRANCH)
    assert len(branches) == n and r.taken[branches].sum() == n - 1 and not r.taken[branches[-1]]
    read = {int(r.address[b - r.dep0[b]]) for b in branches} | {int(r.address[b - r.dep1[b]]) for b in branches}
    assert read == set(walk) | {at + 0x10 for at in walk}
    assert r.insns[r.kind != MARK].sum() == pytest.approx(n * (16 if boxed else 15), abs=3)
    assert (r.address[r.kind == MARK] == OP_END).all() and np.count_nonzero(r.kind == MARK) == 1


@pytest.mark.parametrize(("layout", "field", "stride"), [("std", 16, 32), ("forward", 8, 32), ("packed", 17, 25)])
def test_lists_of_other_languages(layout: str, field: int, stride: int) -> None:
    program, space = build("list", length=500, layout=layout)
    r = lap(program.threads[0])
    loads = r.address[r.kind == LOAD]
    following = {"packed": 1}.get(layout, 0)
    values, nexts = loads[1::2] - field, loads[2::2] - following
    assert np.array_equal(values, nexts) and (np.diff(values) == stride).all()
    assert len(loads) == 1001 and (r.insns[r.kind != MARK].sum() - 3) == 4 * 500
    chained = np.flatnonzero(r.kind == LOAD)[1:]
    assert np.isin(
        r.address[chained - r.dep0[chained]] - following, [*nexts, space.named("list head")[0] - following]
    ).all()


def test_bytes_an_element() -> None:
    """Element{next, prev *Element; list *List; Value any} is 40 bytes in the class of 48; std::list<T> is 16 + T, in
    glibc's chunks of 16; a 4-byte int makes 24, not 20 (and 32 with the chunk's header)."""
    for layout, value, size in (("go", 8, 48), ("std", 8, 32), ("std", 4, 32), ("std", 16, 48), ("forward", 8, 32)):
        few, many = (
            next(
                region
                for region in build("list", length=n, layout=layout, value=value)[1].regions
                if region.name == "nodes"
            )
            for n in (100_000, 200_000)
        )
        # what lies before the nodes is there once; a span's end is not used
        assert (many.size_bytes - few.size_bytes) / 100_000 == pytest.approx(size, rel=0.02)


def test_only_packed_nodes_straddle_lines() -> None:
    for layout, share in (("go", 0.0), ("std", 0.0), ("packed", 7 / 64)):
        r = lap(build("list", length=10_000, layout=layout)[0].threads[0])
        split = (r.address % 64 + r.size > 64) & (r.kind == LOAD)
        assert split.mean() / (r.kind == LOAD).mean() == pytest.approx(share, abs=0.001)


def test_a_step_of_a_list_can_be_the_operation() -> None:
    r = lap(build("list", length=30, operation="next")[0].threads[0])
    assert np.count_nonzero((r.kind == MARK) & (r.address == OP_END)) == 30


def test_slices_of_values_and_of_pointers() -> None:
    """An element's address needs nothing; the sum needs it and the sum before, and is no access."""
    program, space = build("slice", length=1000, value=24)
    r = lap(program.threads[0])
    assert r.kind[:-1].tolist() == [LOAD, COMPUTE] * 1000
    assert r.address[:-1:2].tolist() == [space.regions[0].base + 24 * k for k in range(1000)]
    assert not r.dep0[:-1:2].any() and not r.dep1[:-1:2].any()
    r = lap(build("slice", length=1000, of="pointers", order="shuffled")[0].threads[0])
    assert r.kind[:-1].tolist() == [LOAD, LOAD, COMPUTE] * 1000
    assert (np.diff(r.address[:-1:3]) == 8).all() and (r.dep0[1:-1:3] == 1).all() and not r.dep0[:-1:3].any()
    assert len(set(r.address[1:-1:3].tolist())) == 1000


@pytest.mark.parametrize(("of", "records", "insns"), [("values", 2, 4), ("pointers", 3, 5)])
def test_the_sum_of_a_slice_is_a_chain(of: str, records: int, insns: int) -> None:
    """From every sum two ways lead back: to the element's load, just before, and to the sum before, over chunks too."""
    n = 40_000
    r = lap(build("slice", length=n, of=of)[0].threads[0])
    sums = np.flatnonzero(r.kind == COMPUTE)
    assert np.array_equal(sums, np.arange(n) * records + records - 1)
    back = np.sort(np.stack([r.dep0[sums], r.dep1[sums], r.dep2[sums]]), axis=0)
    assert back[:, 0].tolist() == [0, 0, 1]
    assert (back[:, 1:] == [[0], [1], [records]]).all()
    assert not (r.lag0[sums].any() or r.lag1[sums].any() or r.lag2[sums].any())
    assert r.insns[r.kind != MARK].sum() == n * insns


@pytest.mark.parametrize(
    ("keys", "share"),
    [({}, 0), ({"ratio": "1:1"}, 1), ({"ratio": "2:1"}, 1 / 2), ({"ratio": "3:1"}, 1 / 3), ({"writes": 0.3}, 0.3)],
)
@pytest.mark.parametrize("streams", [1, 2, 3])
def test_a_stream_covers_its_lines_and_stores_its_share(keys: dict[str, object], share: float, streams: int) -> None:
    program, space = build("stream", size="6MiB", streams=streams, **keys)
    r = lap(program.threads[0])
    lines = (r.address - space.regions[0].base) // 64
    assert sorted(lines.tolist()) == list(range(6 << 14))
    assert (r.kind == STORE).mean() == pytest.approx(share, abs=1e-4)
    assert np.array_equal(r.site, r.kind) and not r.dep0.any()
    for stream in range(streams):
        assert (np.diff(lines[stream::streams]) == 1).all()
    if share == 0.5:
        assert np.array_equal(r.kind, np.arange(len(lines)) % 2)


def test_access_size_of_a_stream() -> None:
    r = lap(build("stream", size="64k", access=8)[0].threads[0])
    assert len(r.address) == 8192 and (r.size == 8).all() and (np.diff(r.address) == 8).all()


def test_load_generators_are_endless_and_pause() -> None:
    program, space = build("loaded", 3, size="64k", buffer="128k", delay=70, ratio="2:1")
    assert [(t.group, t.endless) for t in program.threads] == [("chaser", False)] + [("generators", True)] * 2
    r = lap(program.threads[1])
    assert (r.kind[1::2] == WAIT).all() and (r.address[3::2] == 70).all()
    first = [int(lap(thread).address[1]) for thread in program.threads[1:]]
    assert len(set(first)) == 2 and all(0 <= pause <= 70 for pause in first)  # not in step
    assert (r.kind[::2] == STORE).mean() == 0.5
    lines = (r.address[::2] - space.named("stream")[0]) // 64
    assert lines.tolist() == list(range(2048))
    chased = lap(program.threads[0])
    assert set(chased.site) == {0} and set(r.site) == {1, 2}
    quick = lap(build("loaded", 2, size="64k", buffer="64k")[0].threads[1])
    assert (quick.kind == LOAD).all()


def test_pingpong_threads_share_a_line_in_pairs() -> None:
    program, space = build("pingpong", 4, handovers=10)
    lines = [set(lap(thread).address.tolist()) for thread in program.threads]
    assert lines[0] == lines[1] == {space.regions[0].base} != lines[2] == lines[3]
    r = lap(program.threads[0])
    assert (r.kind == ATOMIC).all() and (r.dep0 == 1).all()
    ctx = context(2, nodes=[5, 6])
    make("pingpong", {"home": "second"}).build(ctx)
    assert [region.touch_node for region in ctx.space.regions] == [6]  # type: ignore[attr-defined]


@pytest.mark.parametrize("state", ["hit", "hitm"])
def test_c2c_reader_chases_what_the_writer_prepared(state: str) -> None:
    program, space = build("c2c", size="16k", state=state)
    writer, reader = program.threads
    assert (writer.group, reader.group) == ("writer", "reader") and writer.barriers == reader.barriers == (0,)
    buffers = []
    for number in range(3):
        w, r = lap(writer, number), lap(reader, number)
        assert (w.kind[:-2] == (STORE if state == "hitm" else LOAD)).all() and (w.kind[-2:] == BARRIER).all()
        assert r.kind[0] == r.kind[-1] == BARRIER and (r.kind[1:-1] == LOAD).all()
        assert sorted(w.address[:-2]) == sorted(r.address[1:-1])
        assert r.dep0[1] == 0 and (r.dep0[2:-1] == 1).all()
        buffers.append(int(w.address.max()))
    assert (buffers[0] == buffers[2]) == (state == "hitm") and buffers[0] != buffers[1]
    (region,) = space.regions
    assert region.size_bytes >= (4 * ((1 << 18) + (1 << 20)) if state == "hit" else 2 << 14)


def test_c2c_home_and_pairs() -> None:
    for home, nodes in (("writer", [1, 3]), ("reader", [2, 4])):
        ctx = context(4, nodes=[1, 2, 3, 4])
        program = make("c2c", {"home": home}).build(ctx)
        assert [region.touch_node for region in ctx.space.regions] == nodes  # type: ignore[attr-defined]
        assert [thread.barriers for thread in program.threads] == [(0,), (0,), (1,), (1,)]


def test_a_lock_protects_its_data() -> None:
    program, space = build("lock", turns=4000, cs=5, locks=3, think=200)
    r = lap(program.threads[0])
    turns = r.address.reshape(4000, -1)
    kinds = r.kind.reshape(4000, -1)
    assert (kinds == [WAIT, MARK, LOCK, LOAD, STORE, LOAD, STORE, LOAD, UNLOCK, MARK]).all()
    assert (turns[:, 1] == OP_BEGIN).all() and (turns[:, -1] == OP_END).all()
    assert (turns[:, 2] == turns[:, 8]).all()
    which = (turns[:, 2] - space.named("locks")[0]) // 64
    assert set(which) == {0, 1, 2}
    data = space.named("protected data")[0] + which * 3 * 64
    assert (turns[:, 3:8] - data[:, None] == [0, 0, 64, 64, 128]).all()
    assert turns[:, 0].mean() == pytest.approx(200, rel=0.05) and turns[:, 0].std() == pytest.approx(200, rel=0.1)
    stores = np.flatnonzero(r.kind == STORE)
    assert (r.dep0[stores] == 1).all()
    fixed = lap(build("lock", turns=100, think=200, spread="fixed")[0].threads[0])
    assert set(fixed.address[fixed.kind == WAIT]) == {200}
