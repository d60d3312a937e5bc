"""A machine model, a page map and a set of threads become the engine's state."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from numasim.engine import state as st
from numasim.engine.arrays import log2, ps, sparse, tags, together, zeros
from numasim.engine.build_memory import dram, links
from numasim.engine.fills import INCLUSIONS
from numasim.engine.policies import POLICIES
from numasim.engine.predictor import PREDICTORS, untaught
from numasim.engine.vectors import PADDING
from numasim.errors import UserError
from numasim.memory import host_class

MAX_CLASSES = 1000
LOCKS = 1024
BARRIERS = 512
NEVER_PS = 1 << 46  # 70 s: no run is longer


class Seat(NamedTuple):
    """Where a thread runs and what it is counted under."""

    cpu: int
    group: int  # index into the run's groups
    endless: bool
    operations: int  # 0 none, 1 closed loop, 3 they arrive


def cache(name: str, units: int, sets: int, ways: int, slices: int = 1, policy: str = "lru") -> st.Cache:
    """An empty cache of `units` copies."""
    bits = log2(sets // slices, f"number of sets of {name}{' (a slice)' if slices > 1 else ''}")
    tag = tags(units * sets * ways + PADDING)
    order = zeros(units * sets if policy != "lru" else 1)
    return st.Cache(sets, bits, slices, ways, POLICIES[policy], tag, order)


def l3_sets(machine: Any) -> int:
    """Sets of a domain's L3."""
    return int(machine.l3.size_bytes // 64 // machine.l3.ways)


def neighbours_ps(machine: Any) -> int:
    """How often others bring a line into a set of the L3; 0: never."""
    gbps = machine.l3.neighbours_gbps
    return int(min(max(64_000 / gbps * l3_sets(machine), 1), NEVER_PS)) if gbps else 0


def tlb_cache(name: str, units: int, entries: int, ways: int) -> st.Cache:
    """A TLB level; `ways` may exceed the entries."""
    ways = min(ways, entries)
    return cache(name, units, entries // ways, ways)


def follows(prefetch: Any) -> int:
    """Params.follows."""
    further = prefetch.region or prefetch.up_down or (prefetch.ip_stride and prefetch.ip_stride_distance > 1)
    return 2 if further else int(prefetch.ip_stride)


def params(machine: Any, coherent: bool) -> st.Params:
    """The constants in picoseconds."""
    core, fabric, prefetch = machine.core, machine.fabric, machine.prefetch
    cycle_ns = 1 / core.frequency_ghz
    ticks = machine.os.tick_hz > 0
    return st.Params(
        cycle=ps(cycle_ns),
        l1=ps(machine.l1d.latency_cycles * cycle_ns),
        l2=ps(machine.l2.latency_cycles * cycle_ns),
        stlb=ps(machine.tlb.l2_latency_cycles * cycle_ns),
        nested=ps(machine.tlb.nested_latency_cycles * cycle_ns),
        mesh=ps(fabric.mesh_ns),
        l3=ps(machine.l3.lookup_ns),
        controller=ps(fabric.controller_ns),
        snoop=ps(fabric.snoop_ns),
        dirty=ps(fabric.snoop_dirty_ns),
        home=ps(fabric.home_ns),
        snoop_remote=ps(fabric.snoop_remote_ns),
        trackers=fabric.remote_trackers,
        refill=ps(core.mispredict_cycles * cycle_ns),
        forward=ps(core.forward_cycles * cycle_ns),
        atomic=ps(core.atomic_cycles * cycle_ns),
        split=ps(core.split_cycles * cycle_ns),
        rob=core.rob_entries,
        fills=core.fill_buffers,
        prefetches=core.prefetch_buffers,
        inclusion=INCLUSIONS[machine.l3.inclusion],
        predictor=PREDICTORS[core.branch_predictor],
        predictor_bits=core.predictor_bits,
        next_line=int(prefetch.next_line),
        ip_stride=int(prefetch.ip_stride),
        stride_distance=prefetch.ip_stride_distance,
        stride_pages=int(prefetch.ip_stride_pages),
        region=int(prefetch.region),
        up_down=int(prefetch.up_down),
        follows=follows(prefetch),
        streamer=int(prefetch.streamer),
        distance=prefetch.streamer_distance,
        degree=prefetch.streamer_degree,
        tick_every=round(1e12 / machine.os.tick_hz) if ticks else 0,
        tick_length=ps(machine.os.tick_us * 1000) if ticks else 0,
        neighbours=neighbours_ps(machine),
        coherent=int(coherent),
    )


def tlbs(machine: Any, cores: int, blocks: int) -> st.Tlbs:
    """A core's TLBs and paging-structure caches."""
    t = machine.tlb
    return st.Tlbs(
        tlb_cache("tlb.l1_4k", cores, t.l1_4k_entries, t.l1_4k_ways),
        tlb_cache("tlb.l1_2m", cores, t.l1_2m_entries, t.l1_2m_ways),
        tlb_cache("tlb.l1_1g", cores, t.l1_1g_entries, t.l1_1g_ways),
        tlb_cache("tlb.l2", cores, t.l2_entries, t.l2_ways),
        tlb_cache("tlb.pde", cores, t.pde_entries, t.pde_entries),
        tlb_cache("tlb.pdpte", cores, t.pdpte_entries, t.pdpte_entries),
        tlb_cache("tlb.pml4e", cores, t.pml4e_entries, t.pml4e_entries),
        tlb_cache("tlb.nested", cores, t.nested_entries, t.nested_ways),
        host_class(machine),
        (blocks * 512).bit_length(),
    )


def slot_bits(core: Any) -> int:
    """log2 of the numbers a core's slots take: 5 for up to 28 buffers, 6 for up to 60, 7 for up to 124."""
    return max(st.FEW_BITS, (core.fill_buffers + core.prefetch_buffers + st.SPARE - 1).bit_length())


def cores(machine: Any, used: list[int]) -> st.Core:
    """The cores that run something; `used` are their numbers in the machine."""
    n, topology, core = len(used), machine.topology, machine.core
    bits = slot_bits(core)
    slots = (1 << bits) - st.SPARE
    free = zeros(n << bits)
    free.reshape(n, -1)[:, :slots] = np.arange(slots)[::-1]
    domain = np.array([topology.core_domain[c] for c in used], np.int64)
    predictor, history = untaught(PREDICTORS[core.branch_predictor], core.predictor_bits, n)
    return st.Core(
        domain=domain,
        aged=zeros(topology.domains * l3_sets(machine) if machine.l3.neighbours_gbps else 1),
        node=np.array([topology.core_node[c] for c in used], np.int64),
        vertex=np.array([topology.domain_vertex[d] for d in domain], np.int64),
        fills=zeros(n, core.fill_buffers),
        prefetches=zeros(n, core.prefetch_buffers),
        slot_bits=bits,
        slots=slots,
        nfree=zeros(n, slots),
        free=free,
        inflight=zeros(n << bits, -1),
        queue=zeros(n, -1),
        ready=zeros(n, -1),
        streams=zeros(n * 64, -1),
        coming=zeros(n * 16, -1),
        comes=zeros(n * 2),
        strides=zeros(n * 512),
        regions=zeros(n * 256),
        predictor=predictor,
        history=history,
    )


def front(machine: Any, seats: list[Seat], core_of: list[int], ring: int) -> st.Front:
    """One front end a thread."""
    n, cycle = len(seats), 1000 / machine.core.frequency_ghz
    sharing = [core_of.count(c) for c in core_of]
    slot = [round(cycle / machine.core.issue_width * k) for k in sharing]
    period = round(1e12 / machine.os.tick_hz) if machine.os.tick_hz > 0 else 0

    def column(values: Sequence[int]) -> st.Array:
        return np.array(values, np.int64)

    own = {
        "core": column(core_of),
        "group": column([seat.group for seat in seats]),
        "slot": column(slot),
        "trace": column([t * ring for t in range(n)]),
        "mask": zeros(n, ring - 1),
        "wait": zeros(n, st.NOBODY),
        "endless": column([int(seat.endless) for seat in seats]),
        "ops": column([seat.operations for seat in seats]),
        "phase": column([(t + 1) * period // n for t in range(n)]),
        "opening": zeros(n, 1),
    }
    return st.Front(**{name: own.get(name, zeros(n)) for name in st.Front._fields})


def window(threads: int) -> st.Window:
    """All windows, empty."""
    entries = threads * st.RING
    words = zeros(entries << st.WIN_SHIFT)
    return st.Window._make([*(words[k:] for k in range(8)), zeros(entries), zeros(entries * 16)])


def slots(n: int) -> st.Slot:
    """So many slots. The stack has its own two host cache lines; what a plain miss does not need comes after it."""
    words = zeros(n << st.SLOT_SHIFT)
    first = [words[k:] for k in range(16)]
    rest = [words[k:] for k in range(32, 32 + len(st.Slot._fields) - 18)]
    return st.Slot._make([*first, words[16:], *rest, zeros(n)])


def check_tags(m: st.Machine, line_bits: int) -> None:
    """A tag has 29 bits. Raises UserError where the memory in use is too large for a cache that small."""
    for name, c, bits in (
        ("l1d", m.l1, line_bits), ("l2", m.l2, line_bits), ("l3", m.l3, line_bits),
        ("tlb.l2", m.tlb.l2, m.tlb.kinds + 2), ("tlb.l1_4k", m.tlb.small, m.tlb.kinds),
        ("tlb.nested", m.tlb.nested, line_bits - m.pages.node_shift + m.pages.guest_bits + 1 - 9 * max(m.tlb.host, 0)),
    ):  # fmt: skip
        if bits - c.bits > 29:
            what = f"{1 << c.bits} sets of {name} cannot tell apart the memory of this run"
            raise UserError(what, "machine", "a smaller workload or larger sets")


def directory(pagemap: Any, nodes: int, cores: int) -> st.Directory:
    """Empty; next to nothing where one core runs alone."""
    words, lines, pages = -(-cores // 62), nodes << pagemap.node_shift, len(pagemap.block) * 513
    if cores == 1:
        lines = pages = 1
    return st.Directory(page=sparse(pages), state=sparse(lines), mask=sparse(lines * words), words=words)


def frames(given: Any) -> st.Tags:
    """Physical frames by page; not empty."""
    frame = tags(len(given) + 1)
    frame[:-1] = given
    return frame


def pages(pagemap: Any, guest_run: int) -> st.Pages:
    """The page map; no array empty. guest_run: as in machine.tlb."""
    return st.Pages(
        node_shift=pagemap.node_shift,
        guest_bits=pagemap.guest_bits,
        guest_run=guest_run.bit_length() - 1,
        blocks=len(pagemap.block),
        block=np.ascontiguousarray(pagemap.block),
        guest=np.ascontiguousarray(pagemap.guest) if pagemap.guest_bits else zeros(1),
        frame=frames(pagemap.frame),
        pt=np.append(pagemap.pt, 0),
        pd=np.append(pagemap.pd, 0),
        pdpt=np.append(pagemap.pdpt, 0),
        pml4=pagemap.pml4,
    )


def spans(seats: list[Seat]) -> st.Spans:
    """Room for the spans of so many threads (none: nothing is kept)."""
    room = st.SPANS if seats else 1
    what = st.OPERATIONS if any(seat.operations for seat in seats) else st.ACCESSES
    columns = (zeros(room) for _ in range(5))
    return st.Spans(what if seats else st.NOTHING, room, zeros(2), zeros(len(seats) + 1), *columns)


def out(groups: int, seats: list[Seat], timeline: bool) -> st.Out:
    """Nothing counted yet."""
    return st.Out(
        groups=groups,
        l1=zeros(MAX_CLASSES),
        rows=sparse(MAX_CLASSES * st.BUCKETS * 16),
        low=zeros(MAX_CLASSES, 1 << 62),
        high=zeros(MAX_CLASSES),
        slowest=zeros(MAX_CLASSES, -1),
        events=zeros(MAX_CLASSES * st.EVENT_WORDS),
        op_rows=zeros(groups * st.BUCKETS * st.OP_WORDS),
        op_low=zeros(groups, 1 << 62),
        op_high=zeros(groups),
        spans=spans(seats) if timeline else spans([]),
    )


def operations(seats: list[Seat]) -> st.Ops:
    """No operation begun; room for those that arrive only where some do."""
    threads = len(seats)
    waiting = threads * st.ARRIVALS if any(seat.operations == 3 for seat in seats) else 1
    return st.Ops(
        sum=zeros(threads * st.OP_WORDS),
        begin=zeros(threads * st.OP_WORDS),
        arrivals=zeros(waiting),
        known=zeros(threads),
        passed=zeros(threads),
        snaps=zeros(waiting * st.OP_WORDS),
    )


def sync(tokens: int) -> st.Sync:
    """No lock held, nobody at a barrier, no token posted."""
    return st.Sync(
        mask=LOCKS - 1,
        key=zeros(LOCKS),
        holder=zeros(LOCKS),
        waiting=zeros(LOCKS, -1),
        arrived=zeros(BARRIERS),
        parties=zeros(BARRIERS),
        posted=zeros(tokens + 1),
        awaiting=zeros(tokens + 1, -1),
    )


def private_cache(name: str, table: Any, cores: int) -> st.Cache:
    """L1 or L2 of all cores."""
    return cache(name, cores, table.size_bytes // 64 // table.ways, table.ways, 1, table.policy)


def build(
    machine: Any,
    pagemap: Any,
    seats: list[Seat],
    groups: int,
    ring: int,
    tokens: int = 0,
    timeline: bool = False,
) -> st.Machine:
    """The state in which a run begins: caches empty, all threads about to take their first record.

    ring: records a thread's trace ring holds, a power of two. tokens: how many are posted.
    timeline: keep spans.
    Raises UserError for geometry the engine cannot hold.
    """
    topology, l3 = machine.topology, machine.l3
    used = sorted({topology.cpu_core(seat.cpu) for seat in seats})
    core_of = [used.index(topology.cpu_core(seat.cpu)) for seat in seats]
    n, threads, nodes = len(used), len(seats), len(machine.node_memory)
    memory = dram(machine, groups)
    own_slots = n << slot_bits(machine.core)
    actors = own_slots + threads + memory.all_channels
    m = st.Machine(
        cores=n,
        threads=threads,
        fronts=own_slots,
        channels=own_slots + threads,
        p=params(machine, n > 1),
        l1=private_cache("l1d", machine.l1d, n),
        l2=private_cache("l2", machine.l2, n),
        l3=cache("l3", topology.domains, l3_sets(machine), l3.ways, l3.slices, l3.policy),
        tlb=tlbs(machine, n, len(pagemap.block)),
        core=cores(machine, used),
        front=front(machine, seats, core_of, ring),
        win=window(threads),
        slot=slots(own_slots),
        links=links(topology, memory.all_channels),
        dram=memory,
        dir=directory(pagemap, nodes, n),
        pages=pages(pagemap, machine.tlb.guest_run),
        sync=sync(tokens),
        out=out(groups, seats, timeline),
        ops=operations(seats),
        word0=zeros(threads * ring),
        word1=zeros(threads * ring),
        woken=zeros(actors + 8),
        when=zeros(actors + 8),
        control=zeros(16),
    )
    m.control[st.K_RUNNING] = sum(not seat.endless for seat in seats)
    m.control[st.K_BIN] = 16
    m.sync.parties[0] = threads
    check_tags(m, ((nodes << pagemap.node_shift) - 1).bit_length())
    return together(m)
