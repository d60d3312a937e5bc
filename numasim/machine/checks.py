"""What ties several values of a machine together; a single value's range is kept by `schema.py`."""

from collections.abc import Mapping
from itertools import pairwise

from numasim.errors import UserError
from numasim.machine import sources
from numasim.machine.model import CURVE_KEYS, DDR_KEYS, LINE_BYTES, NESTED_KEYS, Machine, Memory
from numasim.machine.schema import Place, fields_of, memory_kind, missing

MAX_BANKS = 64  # a channel's; the engine keeps the ready ones as bits of a word
MAX_OUTSTANDING = 120  # a core's misses, demand and prefetch together
MAX_CORES = 1024


def check_tables(raw: Mapping[str, object], place: Place) -> None:
    """Hold each `[memory.NAME]` as read from a file against its kind: which keys it must and which it must not have;
    and what is set of `[tlb]` against its walks."""
    tlb, tables = raw["tlb"], raw["memory"]
    assert isinstance(tlb, Mapping)
    for key in NESTED_KEYS:
        if f"tlb.{key}" in place.changed and tlb.get("walk") != "nested":
            raise UserError(f"{key} has no meaning for native walks", place(f"tlb.{key}"), "tlb.walk=nested with it")
    if "tlb.host_run" in place.changed and tlb.get("host_page", "4k") != "4k":
        what = f"host_run has no meaning for host pages of {tlb['host_page']}"
        raise UserError(what, place("tlb.host_run"), "tlb.host_page=4k with it")
    assert isinstance(tables, Mapping)
    if not tables:
        raise UserError("no memory", place("memory"), "at least one table [memory.NAME]")
    for name, table in tables.items():
        kind = table.get("kind", "ddr")
        needed, other = (CURVE_KEYS, DDR_KEYS) if kind == "curve" else (DDR_KEYS, CURVE_KEYS)
        fields = fields_of(memory_kind())
        for key in needed:
            if key not in table and key not in ("starvation_ns", "tfaw_ns"):
                missing(key, fields[key].type, f"memory.{name}", place)
        for key in other:
            if key in table:
                raise UserError(f"{key} has no meaning for kind {kind!r}", place(f"memory.{name}.{key}"), "it left out")


def check(machine: Machine, place: Place) -> None:
    """Raise UserError, naming file and key, for what cannot be built or simulated."""
    _shape(machine, place)
    _caches(machine, place)
    _tlbs(machine, place)
    _core(machine, place)
    for name, memory in machine.memory.items():
        _memory(memory, f"memory.{name}", place)
    _nodes(machine, place)
    _uncertainty(machine, place)
    _sources(machine, place)


def _power_of_two(value: float) -> bool:
    return value >= 1 and value == int(value) and int(value) & (int(value) - 1) == 0


def _shape(machine: Machine, place: Place) -> None:
    shape = machine.shape
    if shape.domains_per_socket % shape.nodes_per_socket:
        raise UserError(
            f"{shape.nodes_per_socket} nodes cannot share {shape.domains_per_socket} domains evenly",
            place("topology.nodes_per_socket", "topology.domains_per_socket"),
            "nodes_per_socket to divide domains_per_socket",
        )
    cores = shape.sockets * shape.domains_per_socket * shape.cores_per_domain
    if cores > MAX_CORES:
        where = place("topology.cores_per_domain", "topology.sockets", "topology.domains_per_socket")
        raise UserError(f"{cores} cores", where, f"at most {MAX_CORES} in the machine")


def _caches(machine: Machine, place: Place) -> None:
    for name, cache, parts in (("l1d", machine.l1d, 1), ("l2", machine.l2, 1), ("l3", machine.l3, machine.l3.slices)):
        sets = cache.size_bytes / (LINE_BYTES * cache.ways * parts)
        if not _power_of_two(sets):
            keys = [f"{name}.{key}" for key in ("size_bytes", "ways", "slices")]
            shared, each = (f" and {parts} slices", " a slice") if name == "l3" else ("", "")
            what = f"{cache.size_bytes} bytes in {cache.ways} ways{shared} make {sets:g} sets{each}"
            raise UserError(what, place(*keys), "a power of two of sets of 64-byte lines")


def _tlbs(machine: Machine, place: Place) -> None:
    for name in ("l1_4k", "l1_2m", "l1_1g", "l2", "nested"):
        entries, ways = getattr(machine.tlb, f"{name}_entries"), getattr(machine.tlb, f"{name}_ways")
        if not _power_of_two(entries / ways):
            what = f"{entries} entries in {ways} ways make {entries / ways:g} sets"
            raise UserError(what, place(f"tlb.{name}_entries", f"tlb.{name}_ways"), "a power of two of sets")


def _core(machine: Machine, place: Place) -> None:
    both = machine.core.fill_buffers + machine.core.prefetch_buffers
    if both > MAX_OUTSTANDING:
        where = place("core.prefetch_buffers", "core.fill_buffers")
        raise UserError(f"{both} misses outstanding", where, f"at most {MAX_OUTSTANDING} fill and prefetch buffers")


def _memory(memory: Memory, key: str, place: Place) -> None:
    if memory.size_bytes % 2**21:
        raise UserError(f"{memory.size_bytes} bytes", place(f"{key}.size_bytes"), "a multiple of 2 MiB")
    if memory.kind == "curve":
        _curve(memory, key, place)
        return
    for name in ("bank_groups", "banks_per_group", "row_bytes"):
        if not _power_of_two(getattr(memory, name)):
            raise UserError(f"{getattr(memory, name)}", place(f"{key}.{name}"), "a power of two")
    banks = memory.ranks * memory.bank_groups * memory.banks_per_group
    if banks > MAX_BANKS:
        where = place(f"{key}.ranks", f"{key}.bank_groups", f"{key}.banks_per_group")
        raise UserError(f"{banks} banks a channel", where, f"ranks x groups x banks to be at most {MAX_BANKS}")
    for low, high in (("write_low", "write_high"), ("trfc_ns", "trefi_ns")):
        if getattr(memory, low) >= getattr(memory, high):
            what = f"{low} {getattr(memory, low)} is not below {high} {getattr(memory, high)}"
            raise UserError(what, place(f"{key}.{low}", f"{key}.{high}"), f"{low} < {high}")


def _curve(memory: Memory, key: str, place: Place) -> None:
    where, points = place(f"{key}.curve", f"{key}.peak_gbps"), memory.curve
    rising = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(points))
    if not points or not rising or points[0][0] < 0 or points[0][1] <= 0:
        expected = "pairs [GB/s, ns], bandwidths rising, latencies above 0 and not falling"
        raise UserError("the curve does not rise", where, expected)
    if points[-1][0] > memory.peak_gbps:
        raise UserError(f"the curve ends at {points[-1][0]:g} GB/s", where, f"at most peak_gbps = {memory.peak_gbps:g}")


def _nodes(machine: Machine, place: Place) -> None:
    """Every node has one memory; nodes with CPUs come first and the numbers have no gap."""
    seen: dict[int, str] = {}
    with_cpus = machine.shape.sockets * machine.shape.nodes_per_socket
    for name, memory in machine.memory.items():
        where = place(f"memory.{name}.nodes", "topology.sockets", "topology.nodes_per_socket")
        for node in memory.nodes:
            if node in seen:
                raise UserError(f"node {node} has a memory already, {seen[node]}", where, "one memory a node")
            seen[node] = name
            if (node >= with_cpus) != bool(memory.vertex):
                what = f"node {node} has {'no CPUs' if node >= with_cpus else 'CPUs'}"
                expected = f"`vertex` for the nodes from {with_cpus} on, and for no others, in a table of their own"
                raise UserError(what, place(f"memory.{name}.vertex", f"memory.{name}.nodes"), expected)
    for node in range(max([*seen, with_cpus - 1]) + 1):
        if node not in seen:
            raise UserError(f"node {node} has no memory", place("memory", "topology.sockets"), "nodes without a gap")


def _uncertainty(machine: Machine, place: Place) -> None:
    """Known keys, errors above 0, a correlation that is symmetric with 1 on its diagonal."""
    told, keys = machine.uncertainty, machine.values()
    for key in told.keys:
        if not isinstance(keys.get(key), (int, float)):
            raise UserError(f"{key!r} is no number of this machine", place("uncertainty.keys"), "dotted keys of values")
    n, rows = len(told.keys), told.correlation
    if len(told.standard_error) != n or len(rows) != n or any(len(row) != n for row in rows):
        raise UserError(f"not all of {n} keys", place("uncertainty"), "an error and a row of correlations for each key")
    if any(not 0 < error < float("inf") for error in told.standard_error):
        raise UserError("a standard error of 0 or less", place("uncertainty.standard_error"), "errors above 0")
    if any(rows[i][i] != 1 or rows[i][j] != rows[j][i] or abs(rows[i][j]) > 1 for i in range(n) for j in range(n)):
        raise UserError("no correlation matrix", place("uncertainty.correlation"), "1 on its diagonal, symmetric")


def _sources(machine: Machine, place: Place) -> None:
    for pattern, text in machine.sources.items():
        kind, colon, rest = text.partition(":")
        if kind not in sources.KINDS or not colon or not rest.strip():
            expected = '"specified: ...", "fitted: ..." or "assumed: ..."'
            raise UserError(f"{text[:40]!r} does not say what it is", place(f"sources.{pattern!r}"), expected)
