"""A machine model, a page map and a set of threads become the engine's state."""

import mmap
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from numasim.engine import state as st
from numasim.engine.dram import CURVE, DDR
from numasim.engine.fills import INCLUSIONS
from numasim.engine.policies import POLICIES
from numasim.engine.predictor import PREDICTORS
from numasim.engine.vectors import PADDING
from numasim.errors import UserError

MAX_CLASSES = 1000
LOCKS = 1024
BARRIERS = 512
NEVER = 1 << 60


class Seat(NamedTuple):
    """Where a thread runs and what it is counted under."""

    cpu: int
    group: int  # index into the run's groups
    endless: bool
    operations: int  # 0 none, 1 closed loop, 3 they arrive


def ps(ns: float) -> int:
    """Nanoseconds as whole picoseconds."""
    return round(ns * 1000)


def zeros(n: int, value: int = 0) -> st.Array:
    """int64 array that begins at a host cache line, so that records of 8 words lie in one."""
    room = np.zeros(n + 8, np.int64)
    array = room[-(room.ctypes.data >> 3) % 8 :][:n]
    if value:
        array[:] = value
    return array


def sparse(n: int) -> st.Array:
    """int64 zeros of which memory is taken only where they are written: for what is large and hardly used."""
    if n < 1 << 20 or not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.zeros(n, np.int64)
    lazy = getattr(mmap, "MAP_NORESERVE", 0x4000) if sys.platform == "linux" else 0
    try:
        room = mmap.mmap(-1, n * 8, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | lazy)
    except OSError:
        raise UserError(f"{n >> 24} GiB of directory", "machine", "fewer threads or a smaller workload") from None
    return np.frombuffer(room, np.int64)


def log2(n: int, what: str, expected: str = "a power of two") -> int:
    """Exact logarithm. Raises UserError."""
    if n <= 0 or n & n - 1:
        raise UserError(f"{what} is {n}", "machine", expected)
    return n.bit_length() - 1


def cache(name: str, units: int, sets: int, ways: int, slices: int = 1, policy: str = "lru") -> st.Cache:
    """An empty cache of `units` copies."""
    bits = log2(sets // slices, f"number of sets of {name}{' (a slice)' if slices > 1 else ''}")
    tag = np.zeros(units * sets * ways + PADDING, np.uint32)
    order = zeros(units * sets if policy != "lru" else 1)
    return st.Cache(sets, bits, slices, ways, POLICIES[policy], tag, order)


def tlb_cache(name: str, units: int, entries: int, ways: int) -> st.Cache:
    """A TLB level; `ways` may exceed the entries."""
    ways = min(ways, entries)
    return cache(name, units, entries // ways, ways)


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
        mesh=ps(fabric.mesh_ns),
        l3=ps(machine.l3.lookup_ns),
        controller=ps(fabric.controller_ns),
        snoop=ps(fabric.snoop_ns),
        dirty=ps(fabric.snoop_dirty_ns),
        home=ps(fabric.home_ns),
        refill=ps(core.mispredict_cycles * cycle_ns),
        forward=ps(core.forward_cycles * cycle_ns),
        atomic=ps(core.atomic_cycles * cycle_ns),
        split=ps(core.split_cycles * cycle_ns),
        rob=core.rob_entries,
        fills=core.fill_buffers,
        prefetches=min(core.prefetch_buffers, st.SLOTS - core.fill_buffers),
        inclusion=INCLUSIONS[machine.l3.inclusion],
        predictor=PREDICTORS[core.branch_predictor],
        predictor_bits=core.predictor_bits,
        next_line=int(prefetch.next_line),
        ip_stride=int(prefetch.ip_stride),
        streamer=int(prefetch.streamer),
        distance=prefetch.streamer_distance,
        degree=prefetch.streamer_degree,
        tick_every=round(1e12 / machine.os.tick_hz) if ticks else 0,
        tick_length=ps(machine.os.tick_us * 1000) if ticks else 0,
        coherent=int(coherent),
    )


def links(topology: Any, channels: int) -> st.Links:
    """Edges, lanes and routes."""
    edges = topology.edges
    lanes = [edge.count for edge in edges]
    hop = zeros(len(topology.vertices) ** 2)
    hop[:] = np.asarray(topology.hops, np.int64).reshape(-1)

    def column(values: Sequence[int]) -> st.Array:
        return np.array([*values, 0], np.int64)  # never empty

    resources = len(edges) + channels
    return st.Links(
        domain_vertex=column(topology.domain_vertex),
        hop=hop,
        target=column([edge.target for edge in edges]),
        latency=column([ps(edge.latency_ns) for edge in edges]),
        request=column([ps(edge.request_bytes / edge.bandwidth_gbps) for edge in edges]),
        data=column([ps(edge.data_bytes / edge.bandwidth_gbps) for edge in edges]),
        lanes=column(lanes),
        first=column([sum(lanes[:k]) for k in range(len(lanes))]),
        free=zeros(sum(lanes) + 1),
        messages=zeros(2 * len(edges) + 2),
        busy=zeros(len(edges) + 1),
        series=zeros(resources * st.SERIES),
        resources=resources,
        edges=len(edges),
        vertices=len(topology.vertices),
    )


def ddr_parameters(memory: Any) -> list[int]:
    """A DDR node's words, in the order dram.py names them."""
    n = memory.channels
    if memory.ranks > 8 or memory.ranks * memory.bank_groups > 64:
        raise UserError(f"{memory.ranks} ranks of {memory.bank_groups} bank groups", "machine", "at most 8, and 64 in all")
    refresh = memory.trfc_ns > 0
    return [
        ps(memory.tcl_ns), ps(memory.trcd_ns), ps(memory.trp_ns), ps(memory.tras_ns), ps(memory.burst_ns),
        ps(memory.tccd_l_ns), ps(memory.trefi_ns) if refresh else NEVER, ps(memory.trfc_ns), ps(memory.turnaround_ns),
        ps(memory.rank_switch_ns), ps(memory.idle_close_ns), memory.queue_entries, memory.row_hit_cap,
        min(memory.write_high, 60), memory.write_low, ps(memory.starvation_ns), n,
        n.bit_length() - 1 if n & n - 1 == 0 else -1, log2(memory.bank_groups, "bank_groups"),
        log2(memory.row_bytes // 64, "row_bytes / 64"), log2(memory.banks_per_group, "banks_per_group"),
        log2(memory.ranks, "ranks"), 0,
    ]  # fmt: skip


def curve_parameters(memory: Any) -> tuple[list[int], list[int]]:
    """A curve node's words, and its latency at 64 levels of bandwidth up to the peak."""
    points = sorted(memory.curve)
    levels = np.linspace(0, memory.peak_gbps, 64)
    latency = np.interp(levels, [p[0] for p in points], [p[1] for p in points])
    words = [0] * 23
    words[4], words[16], words[22] = ps(64 / memory.peak_gbps), 1, ps(float(latency[0]))
    return words, [ps(float(v)) for v in latency]


def dram(machine: Any, groups: int) -> st.Dram:
    """All memory nodes."""
    topology, nodes = machine.topology, machine.node_memory
    counts = [memory.channels if memory.kind == "ddr" else 1 for memory in nodes]
    total = sum(counts)
    par, curve = zeros(len(nodes) * 32), zeros(len(nodes) * 64)
    chan, rank, banks = zeros(total * 16), zeros(total * 32), 0
    for node, memory in enumerate(nodes):
        words, a_channel = [], 1
        if memory.kind == "ddr":
            words, a_channel = ddr_parameters(memory), memory.ranks * memory.bank_groups * memory.banks_per_group
        else:
            words, curve[node * 64 : node * 64 + 64] = curve_parameters(memory)
        par[node * 32 : node * 32 + len(words)] = words
        for k in range(counts[node]):
            ch = sum(counts[:node]) + k
            #                             BUS READY QUEUED WRITES OVERFLOW ARMED LAST_RANK NODE FIRST_BANK
            chan[ch * 16 : ch * 16 + 9] = [0, -1, 0, 0, -1, 0, 0, node, banks]
            banks += a_channel
            for r in range(8):  # ranks refresh in turn
                if memory.kind == "ddr":
                    share = (k * memory.ranks + r % memory.ranks + 1) / (counts[node] * memory.ranks)
                    rank[(ch * 8 + r) * 4] = int(words[6] * share)
    bank = zeros(banks * 8)
    bank.reshape(-1, 8)[:, :6] = [-1, -(10**9), 0, 0, -1, -1]  # ROW OPENED FREE HITS TAIL BUSY
    return st.Dram(
        vertex=np.array(topology.node_vertex, np.int64),
        first=np.array([sum(counts[:k]) for k in range(len(nodes))], np.int64),
        channels=np.array(counts, np.int64),
        kind=np.array([DDR if memory.kind == "ddr" else CURVE for memory in nodes], np.int64),
        par=par,
        bank=bank,
        chan=chan,
        writes=zeros(total * 64),
        groups=zeros(total * 64, -(10**9)),
        rank=rank,
        nodes=len(nodes),
        all_channels=total,
        all_traffic=groups * len(nodes) * 2,
        curve=curve,
        recent=zeros(len(nodes) * 64),
        traffic=zeros(groups * len(nodes) * 2),
        busy=zeros(total * 2),
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
        (blocks * 512).bit_length(),
    )


def cores(machine: Any, used: list[int]) -> st.Core:
    """The cores that run something; `used` are their numbers in the machine."""
    n, topology, core = len(used), machine.topology, machine.core
    free = zeros(n * 32)
    free.reshape(-1, 32)[:, : st.SLOTS] = np.arange(st.SLOTS)[::-1]
    domain = np.array([topology.core_domain[c] for c in used], np.int64)
    return st.Core(
        domain=domain,
        node=np.array([topology.core_node[c] for c in used], np.int64),
        vertex=np.array([topology.domain_vertex[d] for d in domain], np.int64),
        fills=zeros(n, core.fill_buffers),
        prefetches=zeros(n, min(core.prefetch_buffers, st.SLOTS - core.fill_buffers)),
        nfree=zeros(n, st.SLOTS),
        free=free,
        inflight=zeros(n * 32, -1),
        queue=zeros(n, -1),
        ready=zeros(n, -1),
        streams=zeros(n * 64, -1),
        strides=zeros(n * 256),
        predictor=np.ones(n * 3 << core.predictor_bits, np.int64),
        history=zeros(n),
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
    return st.Window(*[words[k:] for k in range(8)], zeros(entries), zeros(entries * 16))


def slots(n: int) -> st.Slot:
    """All slots. The stack has its own two host cache lines; what a plain miss does not need comes after it."""
    words = zeros(n * 32 << st.SLOT_SHIFT)
    first = [words[k:] for k in range(16)]
    rest = [words[k:] for k in range(32, 32 + len(st.Slot._fields) - 18)]
    return st.Slot(*first, words[16:], *rest, zeros(n * 32))


def check_tags(m: st.Machine, line_bits: int) -> None:
    """A tag has 29 bits. Raises UserError where the memory in use is too large for a cache that small."""
    for name, c, bits in (
        ("l1d", m.l1, line_bits), ("l2", m.l2, line_bits), ("l3", m.l3, line_bits),
        ("tlb.l2", m.tlb.l2, m.tlb.kinds + 2), ("tlb.l1_4k", m.tlb.small, m.tlb.kinds),
    ):  # fmt: skip
        if bits - c.bits > 29:
            what = f"{1 << c.bits} sets of {name} cannot tell apart the memory of this run"
            raise UserError(what, "machine", "a smaller workload or larger sets")


def build(machine: Any, pagemap: Any, seats: list[Seat], groups: int, ring: int) -> st.Machine:
    """The state in which a run begins: caches empty, all threads about to take their first record.

    ring: records a thread's trace ring holds, a power of two. Raises UserError for geometry the engine cannot hold.
    """
    topology = machine.topology
    used = sorted({topology.cpu_core(seat.cpu) for seat in seats})
    core_of = [used.index(topology.cpu_core(seat.cpu)) for seat in seats]
    n, threads = len(used), len(seats)
    memory = dram(machine, groups)
    blocks, coherent = len(pagemap.block), n > 1
    lines = len(machine.node_memory) << pagemap.node_shift
    words = -(-n // 62)
    l3_sets = machine.l3.size_bytes // 64 // machine.l3.ways
    m = st.Machine(
        cores=n,
        threads=threads,
        fronts=n << st.SLOT_BITS,
        channels=(n << st.SLOT_BITS) + threads,
        p=params(machine, coherent),
        l1=cache("l1d", n, machine.l1d.size_bytes // 64 // machine.l1d.ways, machine.l1d.ways, 1, machine.l1d.policy),
        l2=cache("l2", n, machine.l2.size_bytes // 64 // machine.l2.ways, machine.l2.ways, 1, machine.l2.policy),
        l3=cache("l3", topology.domains, l3_sets, machine.l3.ways, machine.l3.slices, machine.l3.policy),
        tlb=tlbs(machine, n, blocks),
        core=cores(machine, used),
        front=front(machine, seats, core_of, ring),
        win=window(threads),
        slot=slots(n),
        links=links(topology, memory.all_channels),
        dram=memory,
        dir=st.Directory(
            page=sparse(blocks * 513 if coherent else 1),
            state=sparse(lines if coherent else 1),
            mask=sparse(lines * words if coherent else 1),
            words=words,
        ),
        pages=st.Pages(
            node_shift=pagemap.node_shift,
            blocks=blocks,
            block=np.ascontiguousarray(pagemap.block),
            frame=np.append(pagemap.frame, 0),
            pt=np.append(pagemap.pt, 0),
            pd=np.append(pagemap.pd, 0),
            pdpt=np.append(pagemap.pdpt, 0),
            pml4=pagemap.pml4,
        ),
        sync=st.Sync(LOCKS - 1, zeros(LOCKS), zeros(LOCKS), zeros(LOCKS, -1), zeros(BARRIERS), zeros(BARRIERS)),
        out=st.Out(
            groups=groups,
            l1=zeros(MAX_CLASSES),
            rows=sparse(MAX_CLASSES * st.BUCKETS * 16),
            low=zeros(MAX_CLASSES, 1 << 62),
            high=zeros(MAX_CLASSES),
            events=zeros(MAX_CLASSES * st.EVENT_WORDS),
            op_rows=zeros(groups * st.BUCKETS * st.OP_WORDS),
            op_low=zeros(groups, 1 << 62),
            op_high=zeros(groups),
        ),
        ops=st.Ops(
            sum=zeros(threads * st.OP_WORDS),
            begin=zeros(threads * st.OP_WORDS),
            arrivals=zeros(threads * st.ARRIVALS) if any(s.operations == 3 for s in seats) else zeros(1),
            known=zeros(threads),
            passed=zeros(threads),
            snaps=zeros(threads * st.ARRIVALS * st.OP_WORDS) if any(s.operations == 3 for s in seats) else zeros(1),
        ),
        word0=zeros(threads * ring),
        word1=zeros(threads * ring),
        woken=zeros((n * 32) + threads + memory.all_channels + 8),
        when=zeros((n * 32) + threads + memory.all_channels + 8),
        control=zeros(16),
    )
    m.control[st.K_RUNNING] = sum(not seat.endless for seat in seats)
    m.control[st.K_BIN] = 16
    m.sync.parties[0] = threads
    check_tags(m, (lines - 1).bit_length())
    return m
