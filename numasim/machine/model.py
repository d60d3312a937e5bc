"""The parameters of a machine, as its TOML file has them.

Suffixes are units: `_ns` nanoseconds, `_us` microseconds, `_ghz` 1e9 cycles a second, `_cycles` core cycles, `_bytes`
bytes, `_gbps` 1e9 bytes a second, `_hz` a second. `schema.py` keeps ranges, `checks.py` what ties two keys together.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from numasim.machine import sources, tomlout

if TYPE_CHECKING:
    from numasim.machine.topology import Topology

LINE_BYTES = 64

Policy = Literal["lru", "tree-plru", "random", "rrip"]
Cycles = Annotated[int, Meta(ge=0, le=1000)]
Ns = Annotated[float, Meta(ge=0, le=100_000)]
Ways = Annotated[int, Meta(ge=1, le=32)]
Entries = Annotated[int, Meta(ge=1, le=65536)]
Fully = Annotated[int, Meta(ge=1, le=32)]  # entries of a fully associative structure
Gbps = Annotated[float, Meta(gt=0, le=100_000)]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; its keys are the fields."""


class Shape(Table, frozen=True, kw_only=True):
    """`[topology]`: how many of what. The graph made of it is `Machine.topology`.

    domains_per_socket: L3 domains (a socket, a sub-NUMA cluster, a CCX).  nodes_per_socket: NUMA nodes with CPUs.
    """

    sockets: Annotated[int, Meta(ge=1, le=8)]
    domains_per_socket: Annotated[int, Meta(ge=1, le=16)] = 1
    cores_per_domain: Annotated[int, Meta(ge=1, le=128)]
    threads_per_core: Annotated[int, Meta(ge=1, le=4)] = 1
    nodes_per_socket: Annotated[int, Meta(ge=1, le=16)] = 1


class Core(Table, frozen=True, kw_only=True):
    """`[core]`.

    issue_width: instructions a cycle.  rob_entries: instructions in the reorder window.
    fill_buffers: L1 misses outstanding.  prefetch_buffers: further L2 misses outstanding, for the prefetchers.
    (Both together at most 120.)
    predictor_bits: log2 of the predictor's counters (of TAGE, those of its base table).
    mispredict_cycles: refill after a wrong guess.  forward_cycles: store to load.
    atomic_cycles: a locked read-modify-write beyond its load.
    split_cycles: extra of an access over two lines that both hit L1.
    """

    frequency_ghz: Annotated[float, Meta(ge=0.1, le=10)]
    issue_width: Annotated[int, Meta(ge=1, le=16)]
    rob_entries: Annotated[int, Meta(ge=1, le=4096)]
    fill_buffers: Annotated[int, Meta(ge=1, le=48)]
    prefetch_buffers: Annotated[int, Meta(ge=0, le=119)]
    branch_predictor: Literal["perfect", "bimodal", "gshare", "tournament", "tage"]
    predictor_bits: Annotated[int, Meta(ge=1, le=20)]
    mispredict_cycles: Cycles
    forward_cycles: Cycles
    atomic_cycles: Cycles
    split_cycles: Cycles


class Cache(Table, frozen=True, kw_only=True):
    """`[l1d]`, `[l2]`: a core's own. latency_cycles: load-to-use, from the start of the access."""

    size_bytes: Annotated[int, Meta(ge=LINE_BYTES, le=2**30)]
    ways: Ways
    latency_cycles: Annotated[int, Meta(ge=1, le=1000)]
    policy: Policy = "lru"


class L3(Table, frozen=True, kw_only=True):
    """`[l3]`: a domain's. size_bytes and slices are the domain's; lookup_ns is spent in the slice.

    neighbours_gbps: at which others, who share it with the program, bring lines of their own into it.
    """

    size_bytes: Annotated[int, Meta(ge=LINE_BYTES, le=2**34)]
    ways: Ways
    slices: Annotated[int, Meta(ge=1, le=256)]
    lookup_ns: Ns
    policy: Policy = "lru"
    inclusion: Literal["victim", "inclusive", "non-inclusive"]
    neighbours_gbps: Annotated[float, Meta(ge=0, le=1000)] = 0.0


class Tlb(Table, frozen=True, kw_only=True):
    """`[tlb]` of a core: first level a page size, one second level for all, caches of the upper page-table levels.

    l2_latency_cycles: extra of a second-level hit.  walk: "nested" in a virtual machine, whose host's page table
    translates what its own says.  Then there are `NESTED_KEYS`, too.  host_page: size of the host's pages behind the
    machine's memory.  guest_run: so many neighbouring 4 KiB pages of a program are neighbours in the guest's memory,
    too; a power of two.  host_run: so many 4 KiB pages of the host behind a guest's larger page lie side by side in the
    host's memory: each where there was room, or 2 MiB as one, which the host has in small pages (as while it notes
    which are written, to migrate the guest).  nested_entries, nested_ways: of the nested TLB, which holds the host's
    translations; nested_latency_cycles: of each look-up in it, hit or miss.
    """

    l1_4k_entries: Entries
    l1_4k_ways: Ways
    l1_2m_entries: Entries
    l1_2m_ways: Ways
    l1_1g_entries: Entries
    l1_1g_ways: Ways
    l2_entries: Entries
    l2_ways: Ways
    l2_latency_cycles: Cycles
    pde_entries: Fully
    pdpte_entries: Fully
    pml4e_entries: Fully
    walk: Literal["native", "nested"] = "native"
    host_page: Literal["4k", "2m", "1g"] = "4k"
    guest_run: Literal[1, 2, 4, 8, 16, 32, 64, 128, 256, 512] = 1
    host_run: Literal[1, 512] = 1
    nested_entries: Entries = 16
    nested_ways: Ways = 16
    nested_latency_cycles: Cycles = 1


NESTED_KEYS = Tlb.__struct_fields__[-6:]


class Prefetch(Table, frozen=True, kw_only=True):
    """`[prefetch]`: the prefetchers that run.

    next_line, ip_stride, region: for L1.  up_down, streamer: for L2.
    ip_stride_distance: strides ahead, of a line at least.  ip_stride_pages: it runs on into further pages (from a
    distance of 2 on).  streamer_distance: lines ahead; streamer_degree: lines a trigger.
    """

    next_line: bool = False
    ip_stride: bool = False
    ip_stride_distance: Annotated[int, Meta(ge=1, le=512)] = 1
    ip_stride_pages: bool = False
    region: bool = False
    up_down: bool = False
    streamer: bool = False
    streamer_distance: Annotated[int, Meta(ge=1, le=64)] = 20
    streamer_degree: Annotated[int, Meta(ge=1, le=8)] = 2


class Fabric(Table, frozen=True, kw_only=True):
    """`[fabric]`: a domain's on-die network.

    mesh_ns: a core's L2 to an L3 slice, one way.  controller_ns: L3 or home agent to the memory controller, both ways
    together.  snoop_ns: directory to another core's L2 to the requester, beyond the mesh, for a clean line;
    snoop_dirty_ns: more for a modified one.  snoop_remote_ns: more for a line that another socket has, beyond the links
    on the way.  home_ns: the home agent's look-up for a request that came over a link.  directory_ns: reading the
    home's directory, for a line that is not tracked.  tracked: whose lines a home knows of without it, those of the
    "domain" at which its memory hangs, or of its whole "socket" (a mesh's snoop filters).  remote_ns: a home's wait for
    snoops before its memory answers a request that came over a link.  remote_trackers: requests of a node's cores that
    may be under way to other nodes at a time (0: any number).
    """

    mesh_ns: Ns
    controller_ns: Ns
    snoop_ns: Ns
    snoop_dirty_ns: Ns
    snoop_remote_ns: Ns = 0.0
    home_ns: Ns
    directory_ns: Ns = 0.0
    tracked: Literal["domain", "socket"] = "domain"
    remote_ns: Ns = 0.0
    remote_trackers: Annotated[int, Meta(ge=0, le=4096)] = 0


class Link(Table, frozen=True, kw_only=True):
    """`[links.NAME]`: like links between pairs of vertices, each both ways.

    latency_ns: a hop, one way.  bandwidth_gbps: one direction of one link.  count: parallel links of each pair.
    request_bytes, data_bytes: what a message without and with a line of 64 bytes occupies, overhead included.
    """

    pairs: Annotated[tuple[tuple[str, str], ...], Meta(min_length=1)]
    latency_ns: Ns
    bandwidth_gbps: Gbps
    count: Annotated[int, Meta(ge=1, le=16)] = 1
    request_bytes: Annotated[int, Meta(ge=1, le=256)]
    data_bytes: Annotated[int, Meta(ge=LINE_BYTES, le=512)]


class Memory(Table, frozen=True, kw_only=True):
    """`[memory.NAME]`: the memory of like nodes; channels and sizes are a node's, timings a channel's.

    kind "ddr" has the keys of `DDR_KEYS`, kind "curve" those of `CURVE_KEYS`; the other kind's are 0 or empty.
    vertex: where CPU-less nodes hang: a name of their own, or a socket or domain.  remote_ns: what it takes longer to
    answer a socket that is not the nearest, beyond the links on the way.  curve: pairs of the node's bandwidth
    in GB/s and a read's latency in ns, from its arrival at the memory to the data leaving it.
    """

    nodes: Annotated[tuple[Annotated[int, Meta(ge=0, le=255)], ...], Meta(min_length=1)]
    vertex: str = ""
    remote_ns: Ns = 0.0
    size_bytes: Annotated[int, Meta(ge=2**20, le=2**44)]
    kind: Literal["ddr", "curve"] = "ddr"
    channels: Annotated[int, Meta(ge=1, le=64)] = 1
    ranks: Annotated[int, Meta(ge=1, le=16)] = 0
    bank_groups: Annotated[int, Meta(ge=1, le=16)] = 0
    banks_per_group: Annotated[int, Meta(ge=1, le=16)] = 0
    row_bytes: Annotated[int, Meta(ge=LINE_BYTES, le=65536)] = 0
    tcl_ns: Ns = 0.0
    trcd_ns: Ns = 0.0
    trp_ns: Ns = 0.0
    tras_ns: Ns = 0.0
    burst_ns: Annotated[float, Meta(gt=0, le=1000)] = 0.0
    tccd_l_ns: Ns = 0.0
    trefi_ns: Annotated[float, Meta(gt=0, le=100_000)] = 0.0
    trfc_ns: Ns = 0.0
    turnaround_ns: Ns = 0.0
    rank_switch_ns: Ns = 0.0
    idle_close_ns: Ns = 0.0
    queue_entries: Annotated[int, Meta(ge=1, le=1024)] = 0
    row_hit_cap: Annotated[int, Meta(ge=1, le=1024)] = 0
    write_high: Annotated[int, Meta(ge=1, le=1024)] = 0
    write_low: Annotated[int, Meta(ge=0, le=1023)] = 0
    starvation_ns: Ns = 400.0
    tfaw_ns: Ns = 0.0
    curve: tuple[tuple[float, float], ...] = ()
    peak_gbps: Gbps = 0.0


CURVE_KEYS = ("curve", "peak_gbps")
DDR_KEYS = Memory.__struct_fields__[5:-2]  # from channels to starvation_ns, in the file's order


class Os(Table, frozen=True, kw_only=True):
    """`[os]`: timer ticks a second and CPU (0: none) and the length of one."""

    tick_hz: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    tick_us: Annotated[float, Meta(ge=0, le=10_000)] = 1.4


class Uncertainty(Table, frozen=True, kw_only=True):
    """`[uncertainty]`: how well a fit knows its values. Empty where nothing was fitted by one.

    keys [n]: dotted keys.  standard_error [n]: in the values' units.  correlation [n][n]: of the errors, 1 on the
    diagonal.
    """

    keys: tuple[str, ...] = ()
    standard_error: tuple[float, ...] = ()
    correlation: tuple[tuple[float, ...], ...] = ()


class Machine(Table, frozen=True, kw_only=True, dict=True):
    """A machine model. Make one with `load`; change one with `load(name, set={...})`."""

    name: Annotated[str, Meta(min_length=1)]
    description: str = ""
    shape: Shape = msgspec.field(name="topology")
    core: Core
    l1d: Cache
    l2: Cache
    l3: L3
    tlb: Tlb
    prefetch: Prefetch = Prefetch()
    fabric: Fabric
    links: dict[str, Link] = {}
    memory: dict[str, Memory]
    os: Os = Os()
    uncertainty: Uncertainty = Uncertainty()
    sources: dict[str, str] = {}

    @cached_property
    def topology(self) -> "Topology":
        """Vertices, routes and the numbering of cores, CPUs and nodes."""
        from numasim.machine.topology import Topology

        return Topology(self)

    @cached_property
    def node_memory(self) -> tuple[Memory, ...]:
        """The memory of each node, by number."""
        found = {node: memory for memory in self.memory.values() for node in memory.nodes}
        return tuple(found[node] for node in sorted(found))

    def expanded(self) -> dict[str, object]:
        """All values, defaults included, as nested dicts in the file's words, without keys of a memory's other kind and
        those of nested walks where walks are native, and of neighbours where there are none."""
        whole: dict[str, object] = msgspec.to_builtins(self, builtin_types=())
        memory = {name: _of_kind(table) for name, table in self.memory.items()}
        if not self.uncertainty.keys:
            del whole["uncertainty"]
        tlb = msgspec.to_builtins(self.tlb)
        if self.tlb.walk == "native":
            tlb = {key: value for key, value in tlb.items() if key not in NESTED_KEYS}
        l3 = msgspec.to_builtins(self.l3)
        if not self.l3.neighbours_gbps:
            del l3["neighbours_gbps"]
        return whole | {"tlb": tlb, "l3": l3, "memory": memory}

    def to_toml(self) -> str:
        """TOML text that loads as this machine."""
        return tomlout.dumps(self.expanded())

    def values(self) -> dict[str, object]:
        """Each value under its dotted key, such as "links.upi.latency_ns"; without what is said about the values."""
        tables = self.expanded()
        about = ("name", "description", "uncertainty", "sources")
        return sources.flatten({key: tables[key] for key in tables if key not in about})

    def source(self, key: str) -> str:
        """Where the value at a dotted key comes from; the most specific pattern counts. Empty if none matches."""
        return sources.find(self.sources, key)

    def fitted(self) -> list[str]:
        """Keys whose value was fitted to measurements."""
        return [key for key in self.values() if self.source(key).startswith("fitted")]

    def title(self) -> str:
        """The name, and the values that were set by whoever loaded the model."""
        changed = [f"{key}={value}" for key, value in self.values().items() if self.source(key).startswith("set:")]
        return self.name + (f" with {' '.join(changed)}" if changed else "")

    def unsourced(self) -> list[str]:
        """Keys whose value has no source: a shipped model has none of these."""
        return [key for key in self.values() if not self.source(key)]


def _of_kind(memory: Memory) -> dict[str, object]:
    """A memory's keys as a dict, without those of the other kind and an empty vertex."""
    other = CURVE_KEYS if memory.kind == "ddr" else DDR_KEYS
    table: dict[str, object] = msgspec.to_builtins(memory)
    if not memory.vertex:
        del table["vertex"]
    return {key: value for key, value in table.items() if key not in other}
