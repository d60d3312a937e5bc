"""Do messages take the shortest way, and does everything carry the number Linux would give it?"""

from collections.abc import Iterable
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim import machine
from numasim.errors import UserError
from numasim.machine import Machine
from numasim.machine.nodes import format_list
from numasim.machine.routes import Edge, next_edges

HOP = {"latency_ns": 40.0, "bandwidth_gbps": 8.0, "count": 1, "request_bytes": 8, "data_bytes": 72}
RING = [(0, 1), (1, 2), (2, 3), (3, 0)]
CUBE = [(a, a ^ bit) for a in range(8) for bit in (1, 2, 4) if a < a ^ bit]  # 8 sockets, 3 links each
CXL: dict[str, Any] = {"nodes": [2], "vertex": "cxl0", "size_bytes": 2**30, "kind": "curve"}
CXL |= {"peak_gbps": 17.6, "curve": [[0, 150], [17, 300]]}


def build(
    sockets: int, pairs: Iterable[tuple[str, str]], topology: dict[str, int] | None = None, **more: Any
) -> Machine:
    """The teaching machine with other sockets and links; `more` are further memory tables."""
    tables: dict[str, Any] = machine.load("teaching-2s").expanded()
    tables["topology"] |= {"sockets": sockets} | (topology or {})
    tables["links"] = {"bridge": HOP | {"pairs": [list(pair) for pair in pairs]}} if pairs else {}
    tables["memory"]["dram"]["nodes"] = list(range(sockets * tables["topology"]["nodes_per_socket"]))
    tables["memory"] |= more
    return machine.from_tables(tables)


def sockets(pairs: Iterable[tuple[int, int]]) -> list[tuple[str, str]]:
    return [(f"socket{a}", f"socket{b}") for a, b in pairs]


def hops(model: Machine, a: int, b: int) -> list[str]:
    """Names of the vertices after the first on the way."""
    topology = model.topology
    return [topology.vertices[topology.edges[edge].target] for edge in topology.route(a, b)]


def test_two_sockets() -> None:
    topology = machine.load("icx-8360y-2s").topology
    assert topology.vertices == ["socket0", "socket1"]
    assert topology.domain_vertex == topology.node_vertex == [0, 1]
    assert [(e.source, e.target, e.link, e.latency_ns, e.count) for e in topology.edges] == [
        (0, 1, "upi", 21.9, 3),
        (1, 0, "upi", 21.9, 3),
    ]
    assert topology.route(0, 1) == [0]
    assert topology.route(1, 0) == [1]
    assert topology.route(0, 0) == []
    assert topology.next_edge.tolist() == [[-1, 0], [1, -1]]
    assert topology.vertex("domain1") == topology.vertex("socket1") == 1
    with pytest.raises(UserError, match="no vertex 'socket7'"):
        topology.vertex("socket7")


def test_one_socket_needs_no_link() -> None:
    topology = build(1, []).topology
    assert topology.edges == []
    assert topology.next_edge.tolist() == [[-1]]
    assert topology.distance(0, 0) == 10


def test_a_ring_of_four_has_diagonals_of_two_hops() -> None:
    ring = build(4, sockets(RING))
    lengths = [[len(ring.topology.route(a, b)) for b in range(4)] for a in range(4)]
    assert lengths == [[0, 1, 2, 1], [1, 0, 1, 2], [2, 1, 0, 1], [1, 2, 1, 0]]
    assert ring.topology.route_ns(0, 2) == 80.0
    assert ring.topology.route_ns(0, 3) == 40.0
    # both ways round are as long: the lower number decides, there and back
    assert hops(ring, 0, 2) == ["socket1", "socket2"]
    assert hops(ring, 2, 0) == ["socket1", "socket0"]
    # a diagonal shares its links with the neighbours on it
    assert set(ring.topology.route(0, 1)) < set(ring.topology.route(0, 2))
    assert [ring.topology.distance(0, node) for node in range(4)] == [10, 20, 29, 20]


def test_eight_sockets_without_glue() -> None:
    cube = build(8, sockets(CUBE))
    topology = cube.topology
    assert len(topology.edges) == 2 * 12
    assert topology.cores == 32
    for a in range(8):
        assert sum(edge.source == a for edge in topology.edges) == 3
        for b in range(8):
            assert len(topology.route(a, b)) == (a ^ b).bit_count()
            assert topology.route_ns(a, b) == 40.0 * (a ^ b).bit_count() == topology.route_ns(b, a)
            back = [f"socket{a}", *hops(cube, a, b)][::-1]
            assert [f"socket{b}", *hops(cube, b, a)] == back
    assert hops(cube, 0, 7) == ["socket1", "socket3", "socket7"]
    assert {topology.distance(0, node) for node in range(1, 8)} == {20, 29, 38}


def test_a_cheaper_detour_is_taken_and_a_dearer_one_is_not() -> None:
    tables: dict[str, Any] = build(3, sockets([(0, 1), (1, 2)])).expanded()
    direct = HOP | {"pairs": [["socket0", "socket2"]]}
    for latency_ns, expected in ((81.0, ["socket1", "socket2"]), (80.0, ["socket2"]), (79.0, ["socket2"])):
        tables["links"]["direct"] = direct | {"latency_ns": latency_ns}
        assert hops(machine.from_tables(tables), 0, 2) == expected  # of equal ones the one with fewer hops


def test_cpus_are_numbered_as_linux_does() -> None:
    """`lscpu` on 2 x 36 cores with SMT: node 0 has 0-35,72-107, node 1 has 36-71,108-143."""
    topology = machine.load("icx-8360y-2s").topology
    assert (topology.cores, topology.cpus) == (72, 144)
    assert [format_list(topology.node_cpus(node)) for node in (0, 1)] == ["0-35,72-107", "36-71,108-143"]
    assert [topology.cpu_core(cpu) for cpu in (0, 71, 72, 143)] == [0, 71, 0, 71]
    assert [topology.cpu_node(cpu) for cpu in (35, 36, 107, 108)] == [0, 1, 0, 1]
    assert topology.core_socket == [0] * 36 + [1] * 36
    for wrong in (-1, 144):
        with pytest.raises(UserError, match=f"no cpu {wrong}"):
            topology.cpu_core(wrong)
    with pytest.raises(UserError, match="no node 2"):
        topology.node_cpus(2)


def test_halves_of_a_socket_hang_on_its_hub() -> None:
    snc = machine.load("icx-8360y-2s-snc2")
    topology = snc.topology
    assert topology.vertices == ["domain0", "domain1", "domain2", "domain3", "socket0", "socket1"]
    assert topology.node_vertex == topology.domain_vertex == [0, 1, 2, 3]
    assert topology.domain_node == [0, 1, 2, 3]
    assert topology.domain_socket == [0, 0, 1, 1]
    assert format_list(topology.node_cpus(1)) == "18-35,90-107"
    assert hops(snc, 0, 1) == ["socket0", "domain1"]
    assert hops(snc, 1, 3) == ["socket0", "socket1", "domain3"]


def test_several_domains_of_one_node_share_the_socket_s_memory() -> None:
    """Four CCXs a socket, one node: the memory hangs on the hub, every domain one hop away."""
    pairs = [(f"domain{d}", f"socket{d // 4}") for d in range(8)] + [("socket0", "socket1")]
    topology = build(2, pairs, {"domains_per_socket": 4, "cores_per_domain": 2}).topology
    assert topology.domain_node == [0] * 4 + [1] * 4
    assert topology.node_vertex == [topology.vertex("socket0"), topology.vertex("socket1")]
    assert format_list(topology.node_cpus(1)) == "8-15"
    # local: its own hop there and back; remote: one more hop each way
    assert topology.unloaded_ns(0, 0) == 200.0
    assert topology.unloaded_ns(0, 1) == 290.0


def test_a_link_from_domain_to_socket_makes_hubs() -> None:
    pairs = [("domain0", "socket0"), ("domain1", "socket1"), ("socket0", "socket1")]
    topology = build(2, pairs).topology
    assert topology.vertices == ["domain0", "domain1", "socket0", "socket1"]
    assert len(topology.route(0, 1)) == 3


def test_a_memory_without_cpus() -> None:
    model = build(2, [("socket0", "socket1"), ("socket1", "cxl0")], far=CXL)
    topology = model.topology
    assert topology.vertices == ["socket0", "socket1", "cxl0"]
    assert (topology.nodes, topology.cpu_nodes) == (3, 2)
    assert topology.node_cpus(2) == []
    assert hops(model, 0, 2) == ["socket1", "cxl0"]
    assert topology.unloaded_ns(1, 2) == 50 + 150 + 100
    assert topology.distance(2, 1) == topology.distance(1, 2) == 30
    assert topology.distance(2, 0) == topology.distance(0, 2) == 39
    assert topology.distance(2, 2) == 10


def test_a_memory_without_cpus_may_sit_at_a_socket() -> None:
    topology = build(2, [("socket0", "socket1")], far=CXL | {"vertex": "socket1"}).topology
    assert topology.vertices == ["socket0", "socket1"]
    assert topology.node_vertex == [0, 1, 1]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (sockets([(0, 1), (1, 2)]), "links: no link leads from socket0 to socket3"),
        ([], "links: no link leads from socket0 to socket1"),
        (sockets([*RING, (0, 4)]), r"links.bridge.pairs: no vertex 'socket4' \(expected socket\d\)"),
        (sockets([*RING, (1, 0)]), "socket1 and socket0 are joined already, by bridge"),
        (sockets([*RING, (2, 2)]), "socket2 is joined to itself"),
        ([*sockets(RING), ("socket0", "domain0")], "no link leads from domain0 to domain1"),
    ],
)
def test_links_that_make_no_machine_are_answered(pairs: list[tuple[str, str]], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        build(4, pairs)


@pytest.mark.parametrize("vertex", ["cxl 0", "socket9", "node2"])
def test_odd_names_of_memories_are_answered(vertex: str) -> None:
    with pytest.raises(UserError, match=r"memory.far.vertex: no vertex"):
        build(2, [("socket0", "socket1")], far=CXL | {"vertex": vertex})


def test_an_unreached_memory_is_answered() -> None:
    with pytest.raises(UserError, match="no link leads from socket0 to cxl0"):
        build(2, [("socket0", "socket1")], far=CXL)


def test_the_graph_has_everything_in_it() -> None:
    topology = build(2, [("socket0", "socket1"), ("socket1", "cxl0")], far=CXL).topology
    graph = topology.graph
    kinds: dict[str, list[str]] = {}
    for name, kind in graph.nodes(data="kind"):
        kinds.setdefault(kind, []).append(name)
    assert kinds["socket"] == ["socket0", "socket1"]
    assert kinds["memory"] == ["cxl0"]
    assert kinds["node"] == ["node0", "node1", "node2"]
    assert [name for name in kinds["channel"] if name.startswith("node0")] == ["node0.channel0", "node0.channel1"]
    assert graph.edges["socket0", "socket1"]["data_bytes"] == 72
    assert nx.shortest_path_length(graph, "socket0", "node2", weight="latency_ns") == topology.route_ns(0, 2) == 80.0
    assert nx.is_strongly_connected(graph)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_routes_are_as_short_as_networkx_finds_in_any_order(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 8), "vertices")
    every = [(a, b) for a in range(count) for b in range(a)]
    pairs = data.draw(st.lists(st.sampled_from(every), unique=True), "links")
    latencies = data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.5, 4.0]), min_size=len(pairs), max_size=len(pairs)))
    edges = [
        Edge(*ends, "link", ns, 8.0, 1, 8, 72)
        for (a, b), ns in zip(pairs, latencies, strict=True)
        for ends in ((a, b), (b, a))
    ]
    graph = nx.DiGraph()
    graph.add_nodes_from(range(count))
    graph.add_weighted_edges_from((edge.source, edge.target, edge.latency_ns) for edge in edges)
    table = next_edges(count, edges)
    shuffled = data.draw(st.permutations(edges), "another order")
    other = next_edges(count, shuffled)
    for a in range(count):
        for b in range(count):
            if a == b or not nx.has_path(graph, a, b):
                assert table[a][b] == -1
                continue
            assert edges[table[a][b]] == shuffled[other[a][b]]
            total, here, steps = 0.0, a, 0
            while here != b:
                edge = edges[table[here][b]]
                total, here, steps = total + edge.latency_ns, edge.target, steps + 1
                assert steps < count
            assert total == nx.shortest_path_length(graph, a, b, weight="weight")
