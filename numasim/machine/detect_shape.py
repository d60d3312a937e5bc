"""A host as sockets, domains, nodes and cores that are all alike, which is what a machine model has.

What does not fit is rounded up to the fullest (CPUs that are off), or refused (two kinds of cores), and said.
"""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from numasim.errors import UserError
from numasim.machine.detect_host import Cpus, Host, HostCache, HostNode
from numasim.machine.model import LINE_BYTES, Shape
from numasim.machine.nodes import format_list
from numasim.machine.text import size_text

_ALIKE = "a machine of like sockets and like cores"


class Plan(Struct, frozen=True):
    """A host in a model's terms.

    nodes: the host's nodes with CPUs in the model's order.  far: those without.  attached: for each of `far` the place
    in `nodes` of the nearest.  caches: bytes and ways of "l1d", "l2", "l3", a core's or a domain's share (0 ways: not
    told); a cache that is not told is missing.  doubts: key of a value that was not told so, and why it is what it is.
    notes: what a reader should know.
    """

    shape: Shape
    nodes: tuple[HostNode, ...]
    far: tuple[HostNode, ...]
    attached: tuple[int, ...]
    caches: dict[str, tuple[int, int]]
    doubts: dict[str, str]
    notes: tuple[str, ...]

    def socket_of(self, place: int) -> int:
        """The socket of a node with CPUs, by its place in `nodes`."""
        return place // self.shape.nodes_per_socket


def plan_of(host: Host) -> Plan:
    """The shape of a host. Raises UserError for one that no model can have."""
    doubts: dict[str, str] = {}
    notes = list(host.remarks)
    sockets = _sockets(host, notes)
    counts = {len(nodes) for nodes in sockets}
    if len(counts) > 1:
        what = f"its sockets are not alike: {' and '.join(map(str, sorted(counts)))} nodes"
        raise UserError(what, host.told, _ALIKE)
    nodes = [node for nodes in sockets for node in nodes]
    domains, shared_by = _domains(host, nodes)
    a_node = max(len(found) for found in domains)
    inside = [[core for core in host.cores if core & domain] for found in domains for domain in found]
    cores, threads = max(map(len, inside)), max(map(len, host.cores))
    if len({len(found) for found in domains}) > 1:
        doubts["topology.domains_per_socket"] = f"{a_node} L3 domains a node, as the fullest node has"
    if len(set(map(len, inside))) > 1:
        doubts["topology.cores_per_domain"] = f"{cores} cores in the fullest domain, {min(map(len, inside))} in another"
    if len(set(map(len, host.cores))) > 1:
        doubts["topology.threads_per_core"] = f"{threads} CPUs on the fullest core"
    if host.offline:
        notes.append(f"{host.offline} CPU(s) are off and cannot be seen: domains are taken as the fullest one is")
    notes += [f"{key}: {why}" for key, why in doubts.items()]
    shape = _limited(len(sockets), a_node * len(sockets[0]), cores, threads, len(sockets[0]), host.told)
    far = tuple(sorted((node for node in host.nodes if not node.cpus), key=lambda node: node.number))
    numbers = [node.number for node in (*nodes, *far)]
    if numbers != list(range(len(numbers))):
        notes.append(f"nodes 0-{len(numbers) - 1} are the host's {', '.join(map(str, numbers))}, in this order")
    _tell_numbering(host, domains, notes)
    return Plan(
        shape, tuple(nodes), far, tuple(_nearest(host, node, nodes) for node in far),
        _caches(host, shared_by, doubts, notes), doubts, tuple(notes),
    )  # fmt: skip


def _limited(sockets: int, domains: int, cores: int, threads: int, nodes: int, told: str) -> Shape:
    """The shape, if it is within the ranges of `model.Shape` and `checks`."""
    import msgspec

    found = {"sockets": sockets, "domains_per_socket": domains, "cores_per_domain": cores}
    try:
        return msgspec.convert(found | {"threads_per_core": threads, "nodes_per_socket": nodes}, Shape)
    except msgspec.ValidationError:
        what = f"{sockets} sockets of {domains} domains of {cores} cores of {threads} CPUs"
        raise UserError(what, told, "at most 8, 16, 128, 4") from None


def _sockets(host: Host, notes: list[str]) -> list[list[HostNode]]:
    """The nodes with CPUs of each socket; packages that share a node are one socket. In the order of node numbers."""
    nodes = sorted((node for node in host.nodes if node.cpus), key=lambda node: node.number)
    if not nodes or not host.cores:
        raise UserError("no CPUs are told", host.told, "a machine with CPUs")
    without = [node.number for node in nodes if not node.size_bytes]
    if without and any(node.size_bytes for node in host.nodes):
        raise UserError(f"node {format_list(without)} has CPUs and no memory", host.told, "memory on every node")
    packages = list(host.packages)
    for node in nodes:
        over = [package for package in packages if package & node.cpus]
        if len(over) > 1:
            packages = [package for package in packages if package not in over] + [frozenset().union(*over)]
            notes.append(f"node {node.number} spans {len(over)} packages: they are taken as one socket")
    found = [[node for node in nodes if node.cpus & package] for package in packages]
    return sorted((inside for inside in found if inside), key=lambda inside: inside[0].number)


def _domains(host: Host, nodes: list[HostNode]) -> tuple[list[list[Cpus]], int]:
    """The L3 domains of each node, and how many nodes share an L3; a node is one domain where no L3 is told."""
    third = [cache.cpus for cache in host.caches if cache.level == 3]
    if not third:
        return [[node.cpus] for node in nodes], 1
    found = []
    for node in nodes:
        inside = sorted((cpus & node.cpus for cpus in third if cpus & node.cpus), key=min)
        rest = node.cpus - frozenset().union(*inside)
        if rest:
            what = f"its cores are not alike: CPU(s) {format_list(rest)} without an L3, others with one"
            raise UserError(what, host.told, _ALIKE)
        found.append(inside)
    return found, max(sum(bool(cpus & node.cpus) for node in nodes) for cpus in third)


def _caches(host: Host, shared_by: int, doubts: dict[str, str], notes: list[str]) -> dict[str, tuple[int, int]]:
    """Size and ways of each level; those of two kinds of cores are refused."""
    lines = {cache.line_bytes for cache in host.caches} - {0, LINE_BYTES}
    if lines:
        raise UserError(f"caches with lines of {max(lines)} bytes", host.told, f"lines of {LINE_BYTES} bytes")
    found: dict[str, tuple[int, int]] = {}
    for level, name in ((1, "l1d"), (2, "l2")):
        here = [cache for cache in host.caches if cache.level == level and cache.size_bytes]
        sizes = {(cache.size_bytes, _sharers(host, cache)) for cache in here}
        if len({size for size, _ in sizes}) > 1:
            text = " and ".join(size_text(size) for size, _ in sorted(sizes))
            raise UserError(f"its cores are not alike: {name.upper()} of {text}", host.told, _ALIKE)
        if here:
            cores = max(cores for _, cores in sizes)
            found[name] = (here[0].size_bytes // cores, here[0].ways)
            if cores > 1:
                doubts[f"{name}.size_bytes"] = f"a core's share: {size_text(here[0].size_bytes)} for {cores} cores"
                notes.append(f"{name}.size_bytes: {doubts[f'{name}.size_bytes']}")
    third = [cache for cache in host.caches if cache.level == 3 and cache.size_bytes]
    if third:
        size, ways = Counter((cache.size_bytes, cache.ways) for cache in third).most_common(1)[0][0]
        found["l3"] = (size // shared_by, ways)
        if shared_by > 1:
            doubts["l3.size_bytes"] = f"a node's share: {size_text(size)} for {shared_by} nodes"
            notes.append(f"l3.size_bytes: {doubts['l3.size_bytes']}")
    notes += [f"no {name.upper()} is told" for name in ("l1d", "l2", "l3") if name not in found]
    return found


def _sharers(host: Host, cache: HostCache) -> int:
    return max(1, sum(bool(core & cache.cpus) for core in host.cores))


def _nearest(host: Host, far: HostNode, nodes: list[HostNode]) -> int:
    """Place of the node with CPUs that a node without is nearest to: by locality, then distance, then number."""

    def rank(place: int) -> tuple[int, int, int]:
        node = nodes[place]
        distance = host.distances.get((node.number, far.number), 255)
        return -len(node.cpus & far.near), distance, place

    return min(range(len(nodes)), key=rank)


def _tell_numbering(host: Host, domains: Iterable[list[Cpus]], notes: list[str]) -> None:
    """Note it where the host numbers its CPUs otherwise than a model: first hardware threads of all cores, in order."""
    cores = [
        sorted(core)
        for found in domains
        for domain in found
        for core in sorted((core for core in host.cores if core & domain), key=min)
    ]
    most = max(map(len, cores))
    order = [core[thread] for thread in range(most) for core in cores if thread < len(core)]
    if order != list(range(len(order))):
        notes.append("CPUs are numbered as in a model, first those of node 0; the host numbers them otherwise")
