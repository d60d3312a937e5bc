"""A machine in words: as `numactl -H` prints it, and what its model says, as plain data for any renderer."""

from numasim.machine.model import Cache, Machine, Memory
from numasim.machine.nodes import format_list

Section = tuple[str, list[tuple[str, str]]]


def numactl_hardware(machine: Machine) -> str:
    """What `numactl -H` prints on such a machine when nothing runs (all memory free; no space at the ends of lines)."""
    topology = machine.topology
    nodes = range(topology.nodes)
    lines = [f"available: {topology.nodes} nodes ({format_list(nodes)})"]
    for node in nodes:
        size = machine.node_memory[node].size_bytes >> 20
        lines.append(" ".join([f"node {node} cpus:", *map(str, topology.node_cpus(node))]))
        lines += [f"node {node} size: {size} MB", f"node {node} free: {size} MB"]
    lines += ["node distances:", "node " + " ".join(f"{node:3d}" for node in nodes)]
    for node in nodes:
        lines.append(f"{node:3d}: " + " ".join(f"{topology.distance(node, other):3d}" for other in nodes))
    return "\n".join(lines)


def describe(machine: Machine) -> list[Section]:
    """Sections of (title, rows of (name, value)): processor, caches, TLBs, links, memory, prefetchers, system."""
    return [
        ("processor", _processor(machine)),
        ("caches", _caches(machine)),
        ("TLBs", _tlbs(machine)),
        ("links", _links(machine)),
        ("memory", [row for name, memory in machine.memory.items() for row in _memory(name, memory)]),
        ("prefetchers", _prefetchers(machine)),
        ("operating system", _os(machine)),
    ]


def size_text(size: int) -> str:
    """Bytes as people write them: 1.25 MiB, 54 MiB, 128 GiB."""
    power, value = 0, float(size)
    while value >= 1024 and power < 4:
        power, value = power + 1, value / 1024
    return f"{value:g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def _processor(machine: Machine) -> list[tuple[str, str]]:
    core, shape, topology = machine.core, machine.shape, machine.topology
    return [
        ("sockets", f"{shape.sockets}, each {shape.domains_per_socket} L3 domain(s), {shape.nodes_per_socket} node(s)"),
        ("cores", f"{topology.cores}, {shape.cores_per_domain} a domain, {shape.threads_per_core} CPU(s) each"),
        ("clock", f"{core.frequency_ghz:g} GHz, {core.issue_width} instructions a cycle, window {core.rob_entries}"),
        ("misses outstanding", f"{core.fill_buffers} fill buffers, {core.prefetch_buffers} for prefetches"),
        (
            "branches",
            f"{core.branch_predictor}, 2^{core.predictor_bits} counters, {core.mispredict_cycles} cycles lost",
        ),
    ]


def _caches(machine: Machine) -> list[tuple[str, str]]:
    clock, fabric, l3 = machine.core.frequency_ghz, machine.fabric, machine.l3

    def private(cache: Cache) -> str:
        latency = f"{cache.latency_cycles} cycles = {cache.latency_cycles / clock:.1f} ns"
        return f"{size_text(cache.size_bytes)} a core, {cache.ways} ways, {cache.policy}, {latency}"

    hit_ns = machine.l2.latency_cycles / clock + 2 * fabric.mesh_ns + l3.lookup_ns
    shared = f"{size_text(l3.size_bytes)} a domain, {l3.slices} slices, {l3.ways} ways, {l3.policy}, {l3.inclusion}"
    return [("L1D", private(machine.l1d)), ("L2", private(machine.l2)), ("L3", f"{shared}, {hit_ns:.1f} ns")]


def _tlbs(machine: Machine) -> list[tuple[str, str]]:
    tlb = machine.tlb
    entries = f"{tlb.nested_entries} entries, {tlb.nested_ways} ways, {tlb.nested_latency_cycles} cycles"
    nested = [("nested walks", f"host pages of {tlb.host_page}; nested TLB: {entries}")] if tlb.walk == "nested" else []
    upper = f"{tlb.pde_entries} PDE, {tlb.pdpte_entries} PDPTE, {tlb.pml4e_entries} PML4E"
    return [
        ("L1 DTLB 4k", f"{tlb.l1_4k_entries} entries, {tlb.l1_4k_ways} ways"),
        ("L1 DTLB 2m", f"{tlb.l1_2m_entries} entries, {tlb.l1_2m_ways} ways"),
        ("L1 DTLB 1g", f"{tlb.l1_1g_entries} entries, {tlb.l1_1g_ways} ways"),
        ("STLB", f"{tlb.l2_entries} entries, {tlb.l2_ways} ways, {tlb.l2_latency_cycles} cycles"),
        ("page walks", f"paging-structure caches: {upper}"),
        *nested,
    ]


def _links(machine: Machine) -> list[tuple[str, str]]:
    rows = []
    for name, link in machine.links.items():
        of_line = 64 / link.data_bytes
        capacity = link.count * link.bandwidth_gbps
        speed = f"{link.count} x {link.bandwidth_gbps:g} GB/s a direction, lines at {capacity * of_line:.1f} GB/s"
        pairs = ", ".join(f"{one} - {other}" for one, other in link.pairs)
        rows.append((name, f"{pairs}: {link.latency_ns:g} ns a hop, {speed}"))
    if machine.fabric.remote_trackers:
        rows.append(("at once", f"{machine.fabric.remote_trackers} requests of a node under way to others"))
    return rows or [("none", "one vertex")]


def _memory(name: str, memory: Memory) -> list[tuple[str, str]]:
    hangs = f", no CPUs, at {memory.vertex}" if memory.vertex else ""
    rows = [(name, f"node {format_list(memory.nodes)}: {size_text(memory.size_bytes)} each{hangs}")]
    if memory.kind == "curve":
        points = f"{memory.curve[0][1]:g} ns idle, {memory.curve[-1][1]:g} ns at {memory.curve[-1][0]:g} GB/s"
        return [*rows, (f"{name} curve", f"{points}, peak {memory.peak_gbps:g} GB/s a node")]
    peak = memory.channels * 64 / memory.burst_ns
    channels = f"{memory.channels} a node, {peak:.1f} GB/s together"
    banks = f"{memory.ranks} rank(s) x {memory.bank_groups} group(s) x {memory.banks_per_group} banks"
    refresh = f"{memory.trfc_ns:g} of {memory.trefi_ns:g} ns" if memory.trfc_ns else "none"
    return [
        *rows,
        (f"{name} channels", f"{channels}; each {banks}, rows of {size_text(memory.row_bytes)}"),
        (f"{name} timing", f"CL {memory.tcl_ns:g}, RCD {memory.trcd_ns:g}, RP {memory.trp_ns:g} ns; refresh {refresh}"),
    ]


def _prefetchers(machine: Machine) -> list[tuple[str, str]]:
    prefetch = machine.prefetch
    far = prefetch.ip_stride_distance
    pages = ", into further pages" if prefetch.ip_stride_pages else ""
    stride = f"on, {far} strides ahead{pages}" if far > 1 else "on"
    streamer = f"{prefetch.streamer_distance} lines ahead, {prefetch.streamer_degree} a trigger"
    return [
        ("next line", "on" if prefetch.next_line else "off"),
        ("IP stride", stride if prefetch.ip_stride else "off"),
        ("region", "on" if prefetch.region else "off"),
        ("L2 up/down", "on" if prefetch.up_down else "off"),
        ("L2 streamer", f"on, {streamer}" if prefetch.streamer else "off"),
    ]


def _os(machine: Machine) -> list[tuple[str, str]]:
    ticks = f"{machine.os.tick_hz:g} a second and CPU, {machine.os.tick_us:g} us each" if machine.os.tick_hz else "none"
    return [("timer ticks", ticks)]
