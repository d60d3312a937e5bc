"""Links and memories of a machine made from a host: it tells which there are, a shipped model what they are like."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from numasim.machine.detect_host import Host, HostNode
from numasim.machine.detect_shape import Plan
from numasim.machine.model import Machine
from numasim.machine.routes import Edge
from numasim.machine.schema import TABLE_NAME

Tables = dict[str, dict[str, object]]
Kind = Literal["sockets", "on-die", "memory"]

PAGE = 2**21
LIKE_SIZES = 1 / 16  # nodes whose sizes differ by less are one table: firmware keeps more of one node than of another
ON_PACKAGE = ("HBM", "MCDRAM")


class Assumptions:
    """Sources of the machine being made, in the order they are told."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.entries: dict[str, str] = {}

    def specified(self, key: str, more: str = "") -> None:
        """A value the host told."""
        self.entries[key] = f"specified: {self.host.told}{', ' + more if more else ''}"

    def assumed(self, key: str, why: str) -> None:
        """A value that is a guess."""
        self.entries[key] = f"assumed: {why}"

    def table(self, donor: Machine, old: str, new: str) -> None:
        """All values of a table, but those told apart, as in a model's table."""
        self.assumed(f"{new}.*", f"as {donor.name}" + (f", {old}" if old != new else ""))


def kind_of(machine: Machine, edge: Edge) -> Kind:
    """What an edge joins: two sockets, parts of one, or a memory without CPUs."""
    topology = machine.topology
    ends = []
    for vertex in (edge.source, edge.target):
        name = topology.vertices[vertex]
        kind, number = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
        if kind not in ("socket", "cluster", "domain") or not number:
            return "memory"
        if kind == "cluster":  # of the node with its number
            ends.append(int(number) // topology.nodes_per_socket)
        else:
            ends.append(int(number) if kind == "socket" else topology.domain_socket[int(number)])
    return "on-die" if ends[0] == ends[1] else "sockets"


def links(host: Host, plan: Plan, donors: Sequence[Machine], memories: Mapping[str, str], told: Assumptions) -> Tables:
    """The link tables. donors: models, the nearest first; memories: vertex of each memory apart, and its socket's."""
    shape = plan.shape
    wanted: dict[Kind, list[list[str]]] = {"sockets": [], "on-die": [], "memory": []}
    if shape.domains_per_socket > 1:
        count = shape.domains_per_socket
        wanted["on-die"] = [[f"domain{each}", f"socket{each // count}"] for each in range(shape.sockets * count)]
    wanted["sockets"] = [[f"socket{one}", f"socket{other}"] for one, other in _socket_pairs(host, plan)]
    wanted["memory"] = [[socket, vertex] for vertex, socket in memories.items()]
    found: Tables = {}
    for kind, pairs in wanted.items():
        if pairs:
            donor, old = _donor(donors, kind)
            name = {"sockets": old, "on-die": old, "memory": "far"}[kind]
            name = name if name not in found else f"{name}2"
            table = donor.links[old]
            values: dict[str, object] = {
                "pairs": pairs,
                **{
                    key: getattr(table, key)
                    for key in ("latency_ns", "bandwidth_gbps", "count", "request_bytes", "data_bytes")
                },
            }
            told.table(donor, f"links.{old}", f"links.{name}")
            if kind == "sockets":
                values["count"] = _parallel(donor, old, pairs, shape.sockets)
            if kind == "memory":
                values["count"] = 1
            _tell_pairs(kind, name, shape.sockets, bool(host.distances), told)
            found[name] = values
    return found


def _tell_pairs(kind: Kind, name: str, sockets: int, distances: bool, told: Assumptions) -> None:
    key = f"links.{name}.pairs"
    if kind == "sockets" and sockets > 2:
        told.assumed(key, "sockets at the smallest distance are linked" if distances else "all sockets are linked")
    elif kind == "memory":
        told.assumed(key, "memories without CPUs hang at the nearest socket")
    else:
        told.specified(key, "two sockets" if kind == "sockets" else "its L3 domains or nodes")


def _donor(donors: Sequence[Machine], kind: Kind) -> tuple[Machine, str]:
    """The nearest model with a link of this kind, and the link's name; of sockets if none has one of another kind."""
    for machine in donors:
        for edge in machine.topology.edges:
            if kind_of(machine, edge) == kind:
                return machine, edge.link
    return _donor(donors, "sockets")


def _socket_pairs(host: Host, plan: Plan) -> list[tuple[int, int]]:
    """Linked sockets: all that are at the smallest distance, then farther ones until all can be reached."""
    sockets = range(plan.shape.sockets)
    pairs = [(one, other) for one in sockets for other in sockets if one < other]

    def distance(pair: tuple[int, int]) -> int:
        ends = [[node.number for place, node in enumerate(plan.nodes) if plan.socket_of(place) == end] for end in pair]
        return min(host.distances.get((a, b), 0) for a in ends[0] for b in ends[1])

    found: list[tuple[int, int]] = []
    for level in sorted({distance(pair) for pair in pairs}):
        if _joined(found, len(sockets)):
            break
        found += [pair for pair in pairs if distance(pair) == level]
    return found


def _joined(pairs: Sequence[tuple[int, int]], sockets: int) -> bool:
    reached, before = {0}, 0
    while len(reached) > before:
        before = len(reached)
        reached |= {end for pair in pairs for end in pair if reached & set(pair)}
    return len(reached) == sockets


def _parallel(donor: Machine, name: str, pairs: Sequence[Sequence[str]], sockets: int) -> int:
    """Links of each pair if a socket has as many in all as the donor's sockets have."""
    link = donor.links[name]
    theirs = link.count * 2 * len(link.pairs) / donor.shape.sockets
    mine = 2 * len(pairs) / sockets
    return min(16, max(1, int(theirs / mine)))


def memories(host: Host, plan: Plan, donors: Sequence[Machine], told: Assumptions) -> tuple[Tables, dict[str, str]]:
    """The memory tables, and for each memory that is a vertex of its own the socket it hangs at."""
    found: Tables = {}
    apart: dict[str, str] = {}
    base = donors[0]
    for place, nodes in enumerate(_alike(list(enumerate(plan.nodes)))):
        old = next(name for name, memory in base.memory.items() if 0 in memory.nodes)
        name = _named(nodes[0][1].kind or old, found, number=place if place else None)
        share = base.shape.nodes_per_socket / plan.shape.nodes_per_socket
        found[name] = _table(
            host, base, old, name, [number for number, _ in nodes], [node for _, node in nodes], share, told
        )
    groups: dict[tuple[str, int], list[tuple[int, HostNode]]] = {}
    for number, (node, near) in enumerate(zip(plan.far, plan.attached, strict=True), len(plan.nodes)):
        groups.setdefault((node.kind, near), []).append((number, node))
    for (kind, near), members in groups.items():
        for nodes in _alike(members):
            donor, old = _far_donor(donors, kind)
            name = _named(kind or "far", found, number=sum(one.startswith((kind or "far").lower()) for one in found))
            table = _table(
                host, donor, old, name, [number for number, _ in nodes], [node for _, node in nodes], 1.0, told
            )
            socket = f"socket{plan.socket_of(near)}"
            vertex = _home(plan, near) if kind.upper().startswith(ON_PACKAGE) else name
            if vertex == name:
                apart[name] = socket
            found[name] = {"nodes": table.pop("nodes"), "vertex": vertex, **table}
            how = "local to it" if any(node.near for _, node in nodes) else "at the smallest distance"
            told.specified(f"memory.{name}.vertex", f"{how}: {socket}")
    return found, apart


def _home(plan: Plan, near: int) -> str:
    """The vertex of a node with CPUs, as `Topology` names it."""
    if plan.shape.nodes_per_socket == plan.shape.domains_per_socket:
        return f"domain{near}"
    return f"socket{plan.socket_of(near)}"


def _alike(nodes: Sequence[tuple[int, HostNode]]) -> list[list[tuple[int, HostNode]]]:
    """Nodes of one kind and about one size together."""
    groups: list[list[tuple[int, HostNode]]] = []
    for number, node in nodes:
        for group in groups:
            sizes = [node.size_bytes, *(other.size_bytes for _, other in group)]
            if group[0][1].kind == node.kind and max(sizes) - min(sizes) <= max(sizes) * LIKE_SIZES:
                group.append((number, node))
                break
        else:
            groups.append([(number, node)])
    return groups


def _named(kind: str, taken: Mapping[str, object], number: int | None) -> str:
    """A table's name from a kind of memory: letters and digits, numbered if asked, not taken yet."""
    word = re.sub(r"[^A-Za-z0-9_-]", "", kind).lower()
    word = (
        word
        if TABLE_NAME.fullmatch(word)
        and word.rstrip("0123456789") not in ("socket", "domain", "cluster", "node", "core", "cpu")
        else "memory"
    )
    name = word if number is None else f"{word}{number}"
    while name in taken:
        number = (number or 0) + 1
        name = f"{word}{number}"
    return name


def _table(
    host: Host,
    donor: Machine,
    old: str,
    name: str,
    numbers: list[int],
    nodes: list[HostNode],
    share: float,
    told: Assumptions,
) -> dict[str, object]:
    """A memory table like a model's; `share` of the bandwidth of the model's node is this node's."""
    tables = donor.expanded()["memory"]
    assert isinstance(tables, dict)
    values: dict[str, object] = {key: value for key, value in tables[old].items() if key not in ("nodes", "vertex")}
    told.table(donor, f"memory.{old}", f"memory.{name}")
    if share != 1:
        key = "channels" if values["kind"] == "ddr" else "curve"
        told.assumed(f"memory.{name}.{key}", f"those of a socket of {donor.name}, shared by its nodes")
        if key == "channels":
            values[key] = max(1, round(donor.memory[old].channels * share))
        else:
            values[key] = [[gbps * share, ns] for gbps, ns in donor.memory[old].curve]
            values["peak_gbps"] = donor.memory[old].peak_gbps * share
    told.specified(f"memory.{name}.nodes")
    sizes = sorted(node.size_bytes for node in nodes)
    if sizes[0] >= PAGE:
        spread = (
            f", the smallest of {sizes[0] >> 20} to {sizes[-1] >> 20} MiB" if sizes[0] >> 20 != sizes[-1] >> 20 else ""
        )
        told.specified(f"memory.{name}.size_bytes", f"in use by the system{spread}")
        values["size_bytes"] = sizes[0] // PAGE * PAGE
    return {"nodes": numbers, **values}


def _far_donor(donors: Sequence[Machine], kind: str) -> tuple[Machine, str]:
    """A model's memory without CPUs, of the same kind if there is one; else what the nearest has beside its CPUs."""
    words = [word for word in re.split(r"[^a-z]+", kind.lower()) if word]
    with_far = [(machine, name) for machine in donors for name, memory in machine.memory.items() if memory.vertex]
    for machine, name in with_far:
        text = f"{name} {machine.memory[name].vertex} {machine.name} {machine.description}".lower()
        if words and any(word in text for word in words):
            return machine, name
    on_package = kind.upper().startswith(ON_PACKAGE)
    if with_far and not on_package:
        return with_far[0]
    return donors[0], next(iter(donors[0].memory))
