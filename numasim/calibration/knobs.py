"""Which values of a machine a fit may turn, within which bounds, and which experiments decide them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from numasim.calibration.published import Cell, Host
from numasim.machine import Machine
from numasim.machine.checks import MAX_OUTSTANDING

LOAD = ("memory.dram.rank_switch_ns", "core.prefetch_buffers")  # what full load of a node decides
QUEUE = "memory.dram.queue_entries"
C2C_ERROR = 0.033  # relative standard error of a core to core time
DIES = "links.gmi.data_bytes"  # the first of these where dies have links of their own that no relative knows
KNOWN = 0.2  # relative standard error below which relatives are taken to know what a line occupies on a die's link
LOAD_BOUNDS = {LOAD[0]: (0.0, 20.0), DIES: (64.0, 256.0), LOAD[1]: (0.0, float(MAX_OUTSTANDING))}


class Knob(NamedTuple):
    """A value to fit.

    key: dotted key of the machine.  low, high: bounds.  cells: the measurements that decide it.  stage: "latency" or
    "bandwidth": the latency stage comes first, as bandwidths hang on latencies and hardly the other way round.
    """

    key: str
    low: float
    high: float
    cells: list[Cell]
    stage: str


def orbit(machine: Machine, cell: Cell) -> tuple[object, ...]:
    """What is the same for all cells that a symmetric machine cannot tell apart: a pair of nodes with its mirrors.

    Nodes by their socket and their place in it: (same node), (same socket, both places), (other socket, both places),
    (memory without CPUs, near or far).
    """
    t = machine.topology
    if cell.quantity not in ("idle", "bandwidth") and len(cell.where) < 3:
        return (cell.quantity, *cell.where)
    kind, (one, other) = cell.where[:-2], cell.where[-2:]
    if not isinstance(one, int) or not isinstance(other, int):
        return (cell.quantity, *cell.where)
    a_socket = t.nodes_per_socket
    if other >= t.cpu_nodes:
        hops = len(t.route(t.node_vertex[one], t.node_vertex[other]))
        return (cell.quantity, *kind, "far memory", other, hops)
    if one == other:
        return (cell.quantity, *kind, "local")
    places = tuple(sorted((one % a_socket, other % a_socket)))
    same_place = places[0] == places[1]
    if one // a_socket == other // a_socket:
        return (cell.quantity, *kind, "socket", *places)
    return (cell.quantity, *kind, "across", "same place" if same_place else "other place")


def between_sockets(machine: Machine) -> list[str]:
    """Names of the links that join two sockets, whatever they are called."""
    t, found = machine.topology, []
    for name, link in machine.links.items():
        ends = [t.vertex(end) for pair in link.pairs for end in pair]
        names = [t.vertices[end] for end in ends]
        if all(name.startswith("socket") for name in names):
            found.append(name)
    return found


def independent(machine: Machine, cells: Sequence[Cell]) -> int:
    """How many independent measurements these are: one an orbit."""
    return len({orbit(machine, cell) for cell in cells})


def knobs(machine: Machine, host: Host, cells: Sequence[Cell]) -> list[Knob]:
    """What these cells can decide of this machine, in the order of a fit. A value nothing decides is not turned."""
    return [knob for knob in (*_latencies(machine, cells), *_bandwidths(machine, host, cells)) if knob.cells]


def _latencies(machine: Machine, cells: Sequence[Cell]) -> Iterator[Knob]:
    links = between_sockets(machine)

    def pick(quantity: str, *places: str) -> list[Cell]:
        """The cells of a quantity in some places."""
        return [c for c in cells if c.quantity == quantity and _place(machine, c) in places]

    def knob(key: str, high: float, chosen: list[Cell]) -> Knob:
        """A latency from 0 up."""
        return Knob(key, 0.0, high, chosen, "latency")

    pairs = {str(c.where[0]): c for c in cells if c.quantity == "pairs"}
    c2c = {kind: [c for c in cells if c.quantity == "c2c" and c.where[0] == kind] for kind in C2C_KINDS}
    chases = [c for c in cells if c.quantity == "chase" and in_memory(machine, c)]
    writer = c2c["remote_HITM_homed_in_writer"]
    inner, across = ([c for c in writer if _place(machine, c) == place] for place in ("socket", "across"))
    dearer = _is_dearer(across, c2c["local_L2_to_L2_HITM"], pick("idle", "across"), pick("idle", "local"))
    yield knob("fabric.controller_ns", 200.0, pick("idle", "local") or chases)
    if "ondie" in machine.links:
        # what a line costs beyond a near one is known apart from what a read of memory does
        if inner and "qpi" in links:
            yield knob("fabric.home_ns", 100.0, inner)
            yield knob("fabric.remote_ns", 200.0, pick("idle", "socket", "across"))
        elif inner and "neighbour" not in machine.links:
            yield knob("fabric.home_ns", 100.0, pick("idle", "socket") + inner)
        else:
            beside = [c for c in pick("idle", "socket") if "neighbour" in machine.links and _beside(c)]
            yield knob("links.ondie.latency_ns", 100.0, [c for c in pick("idle", "socket") if c not in beside])
            yield knob("links.neighbour.latency_ns", 100.0, beside)
    elif "qpi" in links and across and not dearer:  # homes of that time snoop before memory answers
        yield knob("fabric.remote_ns", 200.0, pick("idle", "across"))
    if "gmi" in machine.links and "same_socket" in pairs:  # a request of another die asks its home's probe filter
        yield knob("fabric.directory_ns", 500.0, [pairs["same_socket"]])
    for name in links:
        yield knob(f"links.{name}.latency_ns", 300.0, pick("idle", "across"))
    for name, node in _modules(machine):
        cxl = [c for c in pick("idle", "far memory") if c.where[1] == node]
        yield knob(f"links.{name}.latency_ns", 1000.0, [c for c in cxl if near(machine, c)])
        if name in machine.memory:
            yield knob(f"memory.{name}.remote_ns", 500.0, [c for c in cxl if not near(machine, c)])
    yield knob("fabric.snoop_ns", 200.0, c2c["local_L2_to_L2_HIT"] or _snooped(machine, pairs))
    if "cross_socket" in pairs and not pick("idle", "across"):
        yield knob("fabric.snoop_remote_ns", 500.0, [pairs["cross_socket"]])
    elif dearer:
        yield knob("fabric.snoop_remote_ns", 500.0, across)
    yield knob("fabric.snoop_dirty_ns", 100.0, c2c["local_L2_to_L2_HITM"])
    read = [c for c in c2c["remote_HITM_homed_in_reader"] if _is_read(machine, c)]
    yield knob("fabric.directory_ns", 500.0, read)


def _bandwidths(machine: Machine, host: Host, cells: Sequence[Cell]) -> Iterator[Knob]:
    def pick(place: str) -> list[Cell]:
        """The bandwidths of a place."""
        return [c for c in cells if c.quantity == "bandwidth" and _place(machine, c) == place]

    local = pick("local")
    use = DIES if "gmi" in machine.links and not _links_known(machine) else LOAD[0]
    if (local or host.curve) and use in machine.values():  # memory by another name or of a curve stays as it is
        peak = [Cell("peak", (1, 0), host.curve.peak_gbps)] if host.curve else []  # so much at least
        ended = host.curve is not None and host.curve.ended  # its peak and the latency there decide both
        for key in (use, LOAD[1]) if ended else (use,):
            yield Knob(key, *LOAD_BOUNDS[key], local or peak, "bandwidth")
    links = {name: pick("across") for name in between_sockets(machine)}
    if "ondie" in machine.links:
        links = {"ondie": pick("socket"), **links}
    links |= {name: [c for c in pick("far memory") if c.where[1] == node] for name, node in _modules(machine)}
    for name, chosen in links.items():
        yield Knob(f"links.{name}.data_bytes", 64, 512, chosen, "bandwidth")


def _links_known(machine: Machine) -> bool:
    """Is it known from relatives what a line occupies on a die's link? Then it is how well channels are used, which
    hangs on the modules too, that full load decides; of modules of one rank nothing is turned for that."""
    if LOAD[0] not in machine.values() or machine.memory["dram"].ranks == 1:
        return False
    told = dict(zip(machine.uncertainty.keys, machine.uncertainty.standard_error, strict=True))
    return 0 < told.get(DIES, 0.0) < KNOWN * float(str(machine.values()[DIES]))


def _modules(machine: Machine) -> list[tuple[str, int]]:
    """Links to CXL memories, and the node of each."""
    t = machine.topology
    ends = {name: link.pairs[0][1] for name, link in machine.links.items() if name.startswith("cxl")}
    return [(name, max(k for k, v in enumerate(t.node_vertex) if t.vertices[v] == end)) for name, end in ends.items()]


C2C_KINDS = (
    "local_L2_to_L2_HIT",
    "local_L2_to_L2_HITM",
    "remote_HITM_homed_in_writer",
    "remote_HITM_homed_in_reader",
)


def _is_dearer(line: Sequence[Cell], near: Sequence[Cell], memory: Sequence[Cell], local: Sequence[Cell]) -> bool:
    """Does a modified line of another socket cost more, beyond a near one, than memory there beyond the local one? By
    more than a standard error of core to core times; not if any of the four was not measured."""
    if not (line and near and memory and local):
        return False
    means = [sum(cell.value for cell in cells) / len(cells) for cells in (line, near, memory, local)]
    return means[0] - means[1] > means[2] - means[3] + C2C_ERROR * means[0]


def _is_read(machine: Machine, cell: Cell) -> bool:
    """Does the home in the reader's node have to read its directory for this line?"""
    if machine.fabric.tracked == "domain":
        return True
    writer, reader = (int(node) // machine.topology.nodes_per_socket for node in cell.where[-2:])
    return writer != reader


def near(machine: Machine, cell: Cell) -> bool:
    """Is the memory of a cell no further than the nearest CPUs are? A memory without CPUs may cost more from another
    socket than the links on the way: those cells decide its `remote_ns`."""
    t = machine.topology
    one, other = int(cell.where[-2]), int(cell.where[-1])
    hops = [len(t.route(t.node_vertex[n], t.node_vertex[other])) for n in range(t.cpu_nodes)]
    return other < t.cpu_nodes or hops[one] == min(hops)


def in_memory(machine: Machine, cell: Cell) -> bool:
    """Is a chase through so much that little of it is found in the L3?"""
    return int(cell.where[0]) << 20 >= 8 * machine.l3.size_bytes


def _beside(cell: Cell) -> bool:
    """Are these nodes quadrants side by side: 0 and 1, 2 and 3?"""
    one, other = int(cell.where[-2]), int(cell.where[-1])
    return one // 2 == other // 2


def _snooped(machine: Machine, pairs: dict[str, Cell]) -> list[Cell]:
    """Pairs of cores of one L3, where nothing else was measured of it."""
    kind = "same_ccx_or_cluster" if machine.shape.domains_per_socket > 1 else "same_socket"
    return [pairs[kind]] if kind in pairs else []


def _place(machine: Machine, cell: Cell) -> str:
    return str(next((part for part in orbit(machine, cell) if part in PLACES), ""))


PLACES = ("local", "socket", "across", "far memory")
