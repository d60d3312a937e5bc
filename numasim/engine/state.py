"""The state of a simulated machine: nested NamedTuples of numbers and flat arrays.

All times are int64 picoseconds. Arrays that describe one thing in several words are views into one array, so that a
thing lies in few host cache lines: field[i << SHIFT] of thing i.
Actors, in the order in which simultaneous events run: slots (a miss on its way; core << Core.slot_bits | k), then
front ends (one a thread), then memory channels.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.int64]
Tags = npt.NDArray[np.uint32]

CAUSES = (
    "l1", "l2", "l3", "split", "tlb_walk", "fill_wait", "fabric", "link_wait", "link", "memory_wait", "memory",
    "refresh", "coherence", "lock_wait", "os",
)  # fmt: skip
(C_L1, C_L2, C_L3, C_SPLIT, C_TLB, C_FILL, C_FABRIC, C_LINK_WAIT, C_LINK, C_MEM_WAIT, C_MEM, C_REFRESH, C_COH, C_LOCK,
 C_OS, COUNT) = range(16)  # fmt: skip
C_BRANCH, C_COMPUTE, C_IDLE = 15, 16, 17  # in the stacks of operations
OP_WORDS = 18  # 17 causes and the count

EVENTS = (
    "mem-loads", "mem-stores", "L1-dcache-load-misses", "L2-hits", "LLC-loads", "LLC-load-misses", "node-loads",
    "node-load-misses", "dTLB-load-misses", "dtlb_load_misses.walk_completed", "fill-buffer-hits", "snoop-hit",
    "snoop-hitm", "invalidations", "branch-instructions", "branch-misses", "prefetches", "split-accesses",
)  # fmt: skip
(E_LOAD, E_STORE, E_L1_MISS, E_L2_HIT, E_L3, E_L3_MISS, E_LOCAL, E_REMOTE, E_DTLB_MISS, E_WALK, E_JOIN, E_HIT, E_HITM,
 E_INVALIDATED, E_BRANCH, E_MISPREDICTED, E_PREFETCH, E_SPLIT) = range(18)  # fmt: skip
EVENT_WORDS = 32

FEW_BITS, SPARE = 5, 4
FEW = (1 << FEW_BITS) - SPARE  # slots of a core with as many buffers or fewer; others have a power of two less SPARE
RING = 256  # records a thread's window holds
SLOT_SHIFT, WIN_SHIFT = 6, 3
OCTAVES, PER = 36, 64  # latency histogram: 64 buckets a power of two from 1.024 ns up: half a bucket is 0.8 %
BUCKETS = OCTAVES * PER
SERIES = 256  # bins of a utilisation series; when they are full, two become one
# Front.wait, besides the number of the record waited for
NOBODY, DONE, DRAIN, PARTY, STARVED = -1, -2, -3, -4, -5


class Cache(NamedTuple):
    """All copies ("units") of one kind of cache. entry: tag << 3 | exclusive << 2 | valid << 1 | dirty (uint32)."""

    sets: int
    bits: int  # log2 of the sets (of a slice, where lines are hashed over slices)
    slices: int
    ways: int
    policy: int
    tag: Tags  # [unit, set, way], LRU: most recent first
    order: Array  # [unit, set] what the other policies remember


class Params(NamedTuple):
    """Constants of the machine, in picoseconds unless said otherwise."""

    cycle: int
    l1: int
    l2: int
    stlb: int
    nested: int  # a look-up in the nested TLB
    mesh: int
    l3: int
    controller: int
    snoop: int
    dirty: int
    home: int
    snoop_remote: int  # more for a line of another socket
    trackers: int  # requests of a node under way to others, 0 for any number
    refill: int  # cycles after a mispredicted branch
    forward: int
    atomic: int
    split: int
    rob: int  # instructions
    fills: int  # fill buffers a core
    prefetches: int  # prefetch buffers a core
    inclusion: int  # of the L3: VICTIM, INCLUSIVE, NON_INCLUSIVE
    predictor: int
    predictor_bits: int
    next_line: int
    ip_stride: int
    stride_distance: int  # strides IP stride runs ahead
    stride_pages: int  # 1: into further pages
    region: int
    up_down: int
    follows: int  # 1: a prefetcher follows loads by instruction; 2: also those of lines that are on their way
    streamer: int
    distance: int  # lines the streamer runs ahead
    degree: int  # lines it asks for at a time
    tick_every: int
    tick_length: int
    neighbours: int  # a set of the L3 gets a line of others once in so long; 0: never
    coherent: int  # more than one core runs


class Core(NamedTuple):
    """A core: what its hardware threads share. [core] unless said otherwise."""

    domain: Array
    aged: Array  # [L3 set] lines of others that have come there (neighbours.py)
    node: Array  # nearest
    vertex: Array
    fills: Array  # free fill buffers
    prefetches: Array  # free prefetch buffers
    slot_bits: int  # log2 of the numbers that a core's slots take: FEW_BITS where they are FEW
    slots: int  # a core's: SPARE less than these
    nfree: Array
    free: Array  # [core, 1 << slot_bits] numbers of free slots, a stack
    inflight: Array  # [core, 1 << slot_bits] line on its way in that slot, -1
    queue: Array  # records waiting for a fill buffer (list of window entries)
    ready: Array  # records ready to execute (list of window entries)
    streams: Array  # [core, 16 streams, 4]: page, last line, run, asked up to
    coming: Array  # [core, 8, 2] lines lately found in L2, when they are in L1
    comes: Array  # [core, 2] which of these is next; when the last of them is there
    strides: Array  # [core, 64 sites, 8]: site, last address, stride, confidence, asked up to, pages up to
    regions: Array  # [core, 64 sites, 4]: page + 1, lines touched, and what is known of the instruction: regions.py
    predictor: Array  # [core, 3 tables] two-bit counters; of TAGE see tage.py
    history: Array  # the last outcomes; of TAGE [core, WORDS]


class Front(NamedTuple):
    """A thread's front end and window. [thread] unless said otherwise."""

    core: Array
    group: Array
    slot: Array  # issue slot: ps an instruction
    pos: Array  # next record
    end: Array  # records that have been fed
    last: Array  # 1: no more will be
    endless: Array
    trace: Array  # where its trace ring begins
    mask: Array  # size of that ring - 1
    insns: Array  # instructions so far
    head: Array  # oldest record not known to be retired
    retired: Array  # when the record before it retired
    wait: Array
    penalty: Array  # comes on top when what it waits for is there
    shift: Array  # of the ring: records of a plain chain share one entry
    hot: Array  # the last access hit L1
    open: Array  # records entered whose value is open
    flight: Array  # slots on their way for this thread
    latest: Array  # latest completion so far
    phase: Array  # of its timer ticks
    started: Array  # when counting began
    ended: Array  # when the thread was done
    ops: Array  # 1: its trace has operations; 3: they arrive by themselves
    op: Array  # operations ended
    stalled: Array  # 1: the next record entered follows a mispredicted branch
    begun: Array  # when the present operation began
    entered: Array  # operations whose first record has entered
    opening: Array  # 1: the next record is an operation's first


class Window(NamedTuple):
    """Records in flight. [thread << 8 | ring] << WIN_SHIFT."""

    comp: Array  # when its value is there, -1 while open
    insns: Array  # instructions before it
    at: Array  # when its address is known
    waiters: Array  # list of entries waiting for its value
    word0: Array
    word1: Array
    number: Array
    note: Array  # 1: follows a mispredicted branch; | 2: second line of a split access is there
    next: Array  # [entry]
    stack: Array  # [entry, 16]: of a load that joined a fill: that fill's stack up to then; else, operations: its own


class Slot(NamedTuple):
    """A miss on its way. [slot] << SLOT_SHIFT."""

    stage: Array
    line: Array
    want: Array
    va: Array
    level: Array  # step of the page walk (nested.py), 0 when translated
    t0: Array
    rec: Array  # window entry, -1 for posted stores and prefetches
    join: Array  # list of entries of loads that wait for the same line
    at: Array  # when it acts next
    arrived: Array
    bank: Array
    klass: Array
    thread: Array
    kind: Array
    shared: Array  # 0: private page, 1: has to ask the directory, 2: granted shared, 3: granted exclusive
    source: Array  # where the line comes from
    stack: Array  # 16 words
    vertex: Array
    to: Array
    then: Array
    data: Array  # 1: the message carries the line
    buffer: Array  # 1: holds a fill buffer, 0: a prefetch buffer
    page: Array  # index in Directory.page
    number: Array  # of the record, where it is one's own miss
    probe: Array  # 1: fetches the second line of a split access
    demand: Array  # 1: an access of the program, 0: a prefetch
    row: Array
    moved: Array  # DIRTY: the only up-to-date copy of the line comes with it
    again: Array  # 1: comes back for a lock it has waited for
    inner: Array  # 1: a prefetch whose line goes to L1, too
    tracked: Array  # 1: holds one of its node's trackers, or waits for one
    next: Array  # [slot]


class Links(NamedTuple):
    """Directed edges of the fabric. A lane is one of an edge's parallel links."""

    domain_vertex: Array  # [domain]
    domain_node: Array
    domain_socket: Array
    hop: Array  # [vertex, vertex] edge on the shortest route
    target: Array  # [edge] vertex
    latency: Array
    request: Array  # ps a message without data occupies a lane
    data: Array  # ps a line does
    lanes: Array
    first: Array  # [edge] its first lane
    free: Array  # [lane]
    messages: Array  # [edge, 2] requests, lines
    busy: Array  # [edge] ps
    series: Array  # [edge, then channel; SERIES] ps busy
    trackers: Array  # [node] free ones
    waiting: Array  # [node] list of slots that wait for one
    resources: int  # edges and channels
    edges: int
    vertices: int


class Dram(NamedTuple):
    """All memory nodes. [node] unless said otherwise; banks and channels are numbered over the machine."""

    vertex: Array
    first: Array  # first channel
    channels: Array
    kind: Array  # DDR, CURVE
    par: Array  # [node, 32] parameters, see dram.py
    bank: Array  # [bank] << 3
    chan: Array  # [channel] << 4
    writes: Array  # [channel, 128] posted writes: bank | row << 16, oldest first
    batch: Array  # [channel, 64] banks of the writes that passed the bus last
    groups: Array  # [channel, 64] last column command of a rank's bank group
    rank: Array  # [channel, 8] << 3, see dram.py
    nodes: int
    all_channels: int
    all_traffic: int  # words of traffic
    answer: Array  # [domain, node] ps that a home waits before its memory answers a domain that asks over a link
    directory: Array  # [domain, node] ps that a home reads its directory for a line of a domain
    curve: Array  # [node, 64] latency by bandwidth, in 64ths of the peak
    recent: Array  # [node, 64] when the last requests came, then how many came
    traffic: Array  # [group, node, 2] lines read, written
    busy: Array  # [channel, 2] ps the bus carries reads, writes


class Directory(NamedTuple):
    """Who has a line. Only lines of pages that more than one core touched have a state."""

    page: Array  # [page] 0 untouched, core + 1 of the first to touch it, | SHARED
    state: Array  # [line] slot it is on its way with + 1 | (list of waiting slots + 1) << 20
    mask: Array  # [line, words] cores that may have it, 62 a word
    words: int


class Pages(NamedTuple):
    """The page map of memory.PageMap, and who owns what."""

    node_shift: int
    guest_bits: int  # log2 of a node's guest-physical frames
    guest_run: int  # log2 of the small pages that are neighbours there, too
    blocks: int
    block: Array
    guest: Array  # as the guest has it; of native walks nothing
    frame: Tags  # (half as large as Array: what misses is looked up ahead, and mostly fits the host's L2)
    pt: Array
    pd: Array
    pdpt: Array
    pml4: int


class Tlbs(NamedTuple):
    """[core] units each."""

    small: Cache  # L1 DTLB of 4 KiB pages
    large: Cache  # of 2 MiB pages
    huge: Cache  # of 1 GiB pages
    l2: Cache
    pde: Cache
    pdpte: Cache
    pml4e: Cache
    nested: Cache  # guest-physical pages, of the host's size
    host: int  # class of the host's pages, -1 where walks are native
    kinds: int  # in the L2 TLB a page's number is page | class << kinds


class Sync(NamedTuple):
    """Locks, barriers, tokens."""

    mask: int  # locks - 1
    key: Array  # [lock] its line's address + 1 (open addressing)
    holder: Array  # [lock] thread + 1
    waiting: Array  # [lock] list of slots
    arrived: Array  # [barrier] threads that are there
    parties: Array  # [barrier]
    posted: Array  # [token] how often
    awaiting: Array  # [token] list of window entries


class Spans(NamedTuple):
    """When operations, or accesses that left their core, began and ended: some of them, where that is asked for."""

    what: int  # is kept: NOTHING, OPERATIONS, ACCESSES
    room: int
    head: Array  # how many are kept; one in 2**so many
    seen: Array  # [thread] how many there were
    thread: Array  # [span]
    number: Array  # [span] of those of its thread
    name: Array  # [span] group, class
    begin: Array  # [span]
    end: Array  # [span]


NOTHING, OPERATIONS, ACCESSES = range(3)
KEPT, EVERY = range(2)  # words of Spans.head
SPANS = 20_000  # kept at most


class Out(NamedTuple):
    """What is counted. A class is a group's call site in a region."""

    groups: int
    l1: Array  # [class] loads that hit L1: counted only, their stack is known
    rows: Array  # [class, BUCKETS, 16]
    low: Array  # [class] smallest latency
    high: Array
    slowest: Array  # [class] whose that was: number of the record << 14 | thread, -1 for none
    events: Array  # [class, EVENT_WORDS]
    op_rows: Array  # [group, BUCKETS, OP_WORDS]
    op_low: Array
    op_high: Array
    spans: Spans


class Ops(NamedTuple):
    """Operations under way. [thread]"""

    sum: Array  # [thread, 18] time by cause since the start, idle time last
    begin: Array  # [thread, 18] ... when the present operation began
    arrivals: Array  # [thread, ARRIVALS] when operations arrive
    known: Array  # arrivals fed
    passed: Array  # arrivals whose snapshot is taken
    snaps: Array  # [thread, ARRIVALS, 18]


ARRIVALS = 4096


class Machine(NamedTuple):
    """Everything."""

    cores: int
    threads: int
    fronts: int  # actor of the first front end
    channels: int  # actor of the first channel
    p: Params
    l1: Cache
    l2: Cache
    l3: Cache
    tlb: Tlbs
    core: Core
    front: Front
    win: Window
    slot: Slot
    links: Links
    dram: Dram
    dir: Directory
    pages: Pages
    sync: Sync
    out: Out
    ops: Ops
    word0: Array  # trace rings
    word1: Array
    woken: Array  # [0] how many, then actors that got an event of their own
    when: Array  # [..] at what time
    control: Array  # see below


(K_COUNTING, K_RUNNING, K_ORIGIN, K_BIN, K_PROBLEM, K_STARVED, K_CLASSES) = range(7)
# Words of Machine.control. COUNTING: 1 after warm-up; RUNNING: threads that must still end; ORIGIN: when counting
# began; BIN: log2 of the width of the series' bins; PROBLEM: an operation queue overflowed; STARVED: a thread is out of
# records; CLASSES: classes in use


def mapped(m: Any, f: Any) -> Any:
    """The same tuple with f applied to every array in it."""
    parts = [mapped(v, f) if isinstance(v, tuple) else f(v) if isinstance(v, np.ndarray) else v for v in m]
    return type(m)(*parts) if hasattr(m, "_fields") else tuple(parts)
