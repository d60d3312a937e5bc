"""The machine as a graph: vertices that send and receive messages, links between them, and the numbering on top.

A vertex is an L3 domain, a socket's hub, or a memory without CPUs. A socket that is one domain has one vertex, which
answers to both names; where sockets have several domains, or links join domainN to socketM, sockets are hubs apart.
Where links name clusterN, each node with CPUs has a hub of that name, at which its memory is: a quadrant of a die.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from numasim.errors import UserError
from numasim.machine.model import Machine
from numasim.machine.routes import Edge, next_edges
from numasim.machine.schema import TABLE_NAME, Place, near

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LOCAL_DISTANCE = 10  # of a node to itself in ACPI's SLIT; Linux takes a table only if all others are larger
FAR_DISTANCE = 254  # the largest; 255 means unreachable
_TAKEN = re.compile(r"(domain|socket|cluster|node|core|cpu)\d+")


class Topology:
    """Vertices, edges, routes and who sits where; cores, domains and nodes are numbered over the machine, by socket.

    vertices: names.  edges: both directions of every link.  domain_vertex, node_vertex: vertex by domain, by node.
    core_domain, core_socket, core_node, domain_socket, domain_node: by number.  domains, cores, cpus: how many.
    nodes: all of them; cpu_nodes: those with CPUs, which come first.  hops: as `routes.next_edges` gives it.

    Raises UserError if a link names no vertex, joins two vertices a second time, or leaves one unreachable.
    """

    def __init__(self, machine: Machine, place: Place | None = None) -> None:
        shape = machine.shape
        self.machine = machine
        self.sockets, self.threads_per_core = shape.sockets, shape.threads_per_core
        self.domains_per_socket, self.nodes_per_socket = shape.domains_per_socket, shape.nodes_per_socket
        self.cores_per_domain = shape.cores_per_domain
        self.domains = shape.sockets * shape.domains_per_socket
        self.cores = self.domains * shape.cores_per_domain
        self.cpus = self.cores * shape.threads_per_core
        self.cpu_nodes = shape.sockets * shape.nodes_per_socket
        self.nodes = len(machine.node_memory)

        domains_a_node = shape.domains_per_socket // shape.nodes_per_socket
        self.domain_socket = [domain // shape.domains_per_socket for domain in range(self.domains)]
        self.domain_node = [domain // domains_a_node for domain in range(self.domains)]
        self.core_domain = [core // shape.cores_per_domain for core in range(self.cores)]
        self.core_socket = [self.domain_socket[domain] for domain in self.core_domain]
        self.core_node = [self.domain_node[domain] for domain in self.core_domain]

        place = place or Place(machine.name)
        self._number: dict[str, int] = {}
        self.vertices = self._name_vertices(place)
        self.domain_vertex = [self._number[f"domain{domain}"] for domain in range(self.domains)]
        self.node_vertex = [self._vertex_of(node) for node in range(self.nodes)]
        self.edges = list(self._join(place))
        self.hops = next_edges(len(self.vertices), self.edges)
        self._reach_all(place)

    def _name_vertices(self, place: Place) -> list[str]:
        """Names of the vertices: domains, hubs, memories without CPUs by name; fills `_number` with aliases too."""
        hubs = self.domains_per_socket > 1 or any(
            {end.rstrip("0123456789") for end in pair} == {"domain", "socket"}
            for link in self.machine.links.values()
            for pair in link.pairs
        )
        names = [f"domain{domain}" if hubs else f"socket{domain}" for domain in range(self.domains)]
        ends = {end for link in self.machine.links.values() for pair in link.pairs for end in pair}
        self._clusters = any(end.startswith("cluster") for end in ends)
        names += [f"cluster{node}" for node in range(self.cpu_nodes)] if self._clusters else []
        names += [f"socket{socket}" for socket in range(self.sockets)] if hubs else []
        self._number = {name: number for number, name in enumerate(names)}
        if not hubs:
            self._number |= {f"domain{domain}": domain for domain in range(self.domains)}
        alone: set[str] = set()
        for table, memory in self.machine.memory.items():
            if memory.vertex and memory.vertex not in self._number:
                if not TABLE_NAME.fullmatch(memory.vertex) or _TAKEN.fullmatch(memory.vertex):
                    expected = "a name of its own such as cxl0, or a socket or domain of this machine"
                    raise UserError(f"no vertex {memory.vertex!r}", place(f"memory.{table}.vertex"), expected)
                alone.add(memory.vertex)
        for name in sorted(alone):
            self._number[name] = len(names)
            names.append(name)
        return names

    def _vertex_of(self, node: int) -> int:
        vertex = self.machine.node_memory[node].vertex
        if vertex:
            return self._number[vertex]
        if self._clusters:
            return self._number[f"cluster{node}"]
        if self.nodes_per_socket == self.domains_per_socket:
            return self._number[f"domain{node}"]
        return self._number[f"socket{node // self.nodes_per_socket}"]

    def _join(self, place: Place) -> Iterator[Edge]:
        """Both directions of every pair of every link, in the order of the file."""
        joined: dict[frozenset[int], str] = {}
        for name, link in self.machine.links.items():
            where = place(f"links.{name}.pairs", "topology.sockets", "topology.domains_per_socket")
            for pair in link.pairs:
                for end in pair:
                    if end not in self._number:
                        expected = near(end, self._number) or "one of " + ", ".join(self.vertices)
                        raise UserError(f"no vertex {end!r}", where, expected)
                one, other = (self._number[end] for end in pair)
                if one == other:
                    raise UserError(f"{pair[0]} is joined to itself", where, "two different vertices")
                ends = frozenset((one, other))
                if ends in joined:
                    what = f"{pair[0]} and {pair[1]} are joined already, by {joined[ends]}"
                    raise UserError(what, where, "one pair, with `count` parallel links")
                joined[ends] = name
                rest = (link.latency_ns, link.bandwidth_gbps, link.count, link.request_bytes, link.data_bytes)
                yield Edge(one, other, name, *rest)
                yield Edge(other, one, name, *rest)

    def _reach_all(self, place: Place) -> None:
        for vertex, edge in enumerate(self.hops[0]):
            if vertex and edge < 0:
                where = place("links", "topology.sockets", "topology.domains_per_socket")
                what = f"no link leads from {self.vertices[0]} to {self.vertices[vertex]}"
                raise UserError(what, where, "[links.NAME] with pairs that connect all vertices")

    @cached_property
    def next_edge(self) -> "npt.NDArray[np.int64]":
        """`hops` as an array [vertices, vertices]: the edge on which the route from row to column begins, -1: none."""
        import numpy as np

        return np.array(self.hops, dtype=np.int64)

    @cached_property
    def graph(self) -> Any:
        """A networkx.DiGraph: domains, sockets, memories, nodes ("node0") and their channels ("node0.channel3").

        Vertices have `kind`; edges have `kind` "link" with the fields of `Edge`, or "attached" with latency_ns 0.
        """
        import networkx as nx

        graph = nx.DiGraph(name=self.machine.name)
        for name in self.vertices:
            graph.add_node(name, kind=name.rstrip("0123456789") if _TAKEN.fullmatch(name) else "memory")
        for number, edge in enumerate(self.edges):
            fields = {key: value for key, value in asdict(edge).items() if key not in ("source", "target")}
            ends = (self.vertices[edge.source], self.vertices[edge.target])
            graph.add_edge(*ends, kind="link", index=number, **fields)
        for node, memory in enumerate(self.machine.node_memory):
            parts = [f"node{node}.channel{channel}" for channel in range(memory.channels)]
            graph.add_node(f"node{node}", kind="node", size_bytes=memory.size_bytes)
            graph.add_nodes_from(parts, kind="channel")
            inside = [(f"node{node}", part) for part in parts]
            for one, other in [(self.vertices[self.node_vertex[node]], f"node{node}"), *inside]:
                graph.add_edge(one, other, kind="attached", latency_ns=0.0)
                graph.add_edge(other, one, kind="attached", latency_ns=0.0)
        return graph

    def vertex(self, name: str) -> int:
        """The number of a vertex; "socketN" and "domainN" are one where a socket is one domain. Raises UserError."""
        if name not in self._number:
            raise UserError(f"no vertex {name!r}", self.machine.name, "one of " + ", ".join(self.vertices))
        return self._number[name]

    def route(self, a: int, b: int) -> list[int]:
        """The edges from vertex a to vertex b, in order; empty if they are one."""
        edges: list[int] = []
        while a != b:
            edges.append(self.hops[a][b])
            a = self.edges[edges[-1]].target
        return edges

    def route_ns(self, a: int, b: int) -> float:
        """Latency of the hops from vertex a to vertex b, one way, without the time a message occupies the links."""
        return sum(self.edges[edge].latency_ns for edge in self.route(a, b))

    def cpu_core(self, cpu: int) -> int:
        """The core of a CPU: as in Linux, first come the first hardware threads of all cores. Raises UserError."""
        if not 0 <= cpu < self.cpus:
            raise UserError(f"no cpu {cpu}", self.machine.name, f"0 to {self.cpus - 1}")
        return cpu % self.cores

    def cpu_node(self, cpu: int) -> int:
        """The node a CPU is local to. Raises UserError."""
        return self.core_node[self.cpu_core(cpu)]

    def node_cpus(self, node: int) -> list[int]:
        """The CPUs of a node in order; none if it is without CPUs. Raises UserError."""
        if not 0 <= node < self.nodes:
            raise UserError(f"no node {node}", self.machine.name, f"0 to {self.nodes - 1}")
        return [cpu for cpu in range(self.cpus) if self.core_node[cpu % self.cores] == node]

    def unloaded_ns(self, node_a: int, node_b: int) -> float:
        """One read from node_b's memory by a core of node_a: rows closed, nothing else running, no walk, no refresh.

        The sum of the path's latencies: L2, mesh and L3 look-up, links there and back with the time the messages occupy
        them, home agent if there are links, controller, and activate, column and burst (or the curve's first point).
        """
        machine = self.machine
        fabric, memory = machine.fabric, machine.node_memory[node_b]
        start = self.domain_node.index(node_a) if node_a < self.cpu_nodes else self.node_vertex[node_a]
        total = machine.l2.latency_cycles / machine.core.frequency_ghz + 2 * fabric.mesh_ns + machine.l3.lookup_ns
        there, back = self.route(start, self.node_vertex[node_b]), self.route(self.node_vertex[node_b], start)
        total += sum(self.edges[edge].request_ns for edge in there) + sum(self.edges[edge].data_ns for edge in back)
        if there:
            first = self.domain_node.index(node_a) if node_a < self.cpu_nodes else 0
            total += fabric.home_ns + self.answer_ns(first, node_b)
        inside = memory.trcd_ns + memory.tcl_ns + memory.burst_ns if memory.kind == "ddr" else memory.curve[0][1]
        return total + fabric.controller_ns + inside

    def answer_ns(self, domain: int, node: int) -> float:
        """What the home of a node's memory waits before it answers a domain that asks over a link."""
        far = self.domain_socket[domain] not in self._nearest(node)
        return self.machine.fabric.remote_ns + (self.machine.node_memory[node].remote_ns if far else 0.0)

    def directory_ns(self) -> list[float]:
        """[domain * nodes + node]: how long a node's home reads its directory for a line that a domain owns. 0 where it
        knows of it anyway, as `fabric.tracked` says."""
        fabric, sockets = self.machine.fabric, [self._nearest(node) for node in range(self.nodes)]
        found = []
        for domain in range(self.domains):
            for node in range(self.nodes):
                near = self.domain_socket[domain] in sockets[node] and fabric.tracked == "socket"
                known = near or self.domain_vertex[domain] == self.node_vertex[node]
                found.append(0.0 if known else fabric.directory_ns)
        return found

    def _nearest(self, node: int) -> set[int]:
        """The sockets whose domains are nearest to a node's memory."""
        hops = [len(self.route(vertex, self.node_vertex[node])) for vertex in self.domain_vertex]
        return {self.domain_socket[domain] for domain in range(self.domains) if hops[domain] == min(hops)}

    def distance(self, node_a: int, node_b: int) -> int:
        """As in ACPI's SLIT: 10 to itself, else 10 times the ratio of unloaded latencies, at least 11; 254 at most.

        A node without CPUs is as far from a node with some as that is from it.
        """
        if node_a == node_b:
            return LOCAL_DISTANCE
        if node_a >= self.cpu_nodes > node_b:
            return self.distance(node_b, node_a)
        base = node_a if node_a < self.cpu_nodes else 0
        ratio = self.unloaded_ns(node_a, node_b) / self.unloaded_ns(base, base)
        return max(LOCAL_DISTANCE + 1, min(FAR_DISTANCE, round(10 * ratio)))
