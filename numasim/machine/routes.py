"""Shortest routes in a small directed graph, the same on every host and in every order of the file's tables."""

import heapq
from collections.abc import Sequence

from msgspec import Struct


class Edge(Struct, frozen=True):
    """One direction of the links between two vertices (numbers into `Topology.vertices`); units as in `model.Link`."""

    source: int
    target: int
    link: str
    latency_ns: float
    bandwidth_gbps: float
    count: int
    request_bytes: int
    data_bytes: int

    @property
    def request_ns(self) -> float:
        """An unhindered message without data over this hop: latency, and the time it occupies the link."""
        return self.latency_ns + self.request_bytes / self.bandwidth_gbps

    @property
    def data_ns(self) -> float:
        """The same of a line."""
        return self.latency_ns + self.data_bytes / self.bandwidth_gbps


def next_edges(vertices: int, edges: Sequence[Edge]) -> list[list[int]]:
    """[from][to]: the edge on which the shortest route to `to` leaves `from`; -1 where from is to, or no route is.

    Shortest by latency (in picoseconds, as the engine counts), then by hops, then by the number of the next vertex.
    Each hop makes (latency, hops) smaller, so following the edges arrives.
    """
    into: list[list[int]] = [[] for _ in range(vertices)]
    for number, edge in enumerate(edges):
        into[edge.target].append(number)
    table = [[-1] * vertices for _ in range(vertices)]
    for target in range(vertices):
        for vertex, number in _towards(target, edges, into).items():
            table[vertex][target] = number
    return table


def _towards(target: int, edges: Sequence[Edge], into: Sequence[Sequence[int]]) -> dict[int, int]:
    """For each vertex that reaches the target: its edge on the way there (Dijkstra, backwards from the target)."""
    way: dict[int, tuple[int, int, int, int]] = {}
    done = {target}
    queue = [(0, 0, target)]
    while queue:
        latency_ps, hops, vertex = heapq.heappop(queue)
        if vertex != target:
            if vertex in done:
                continue
            done.add(vertex)
        for number in into[vertex]:
            edge = edges[number]
            if edge.source in done:
                continue
            found = (latency_ps + round(edge.latency_ns * 1000), hops + 1, vertex, number)
            if edge.source not in way or found < way[edge.source]:
                way[edge.source] = found
                heapq.heappush(queue, (found[0], found[1], edge.source))
    return {vertex: found[3] for vertex, found in way.items()}
