"""Which package stands where on the slide, and how large: one or two rows, linked packages beside each other."""

from itertools import permutations
from typing import NamedTuple

from numasim.machine.topology import Topology

# packages in the upper and the lower row; three and more do not fit beside each other with links that can be told apart
ROWS = {1: (1,), 2: (2,), 3: (2, 1), 4: (2, 2), 5: (3, 2), 6: (3, 3), 7: (4, 3), 8: (4, 4)}
BETWEEN_COLUMNS = {1: 0.0, 2: 150.0, 3: 60.0, 4: 34.0}  # points; two in a row have the link's figures between them
BETWEEN_ROWS = {2: 84.0, 3: 96.0, 4: 110.0}  # points, by columns: where links cross
WIDEST = 640.0  # points: a package alone on the slide


class Seat(NamedTuple):
    """A package's rectangle, memories included, in points. upper: they lie above it, as another row is below."""

    x: float
    y: float
    width: float
    height: float
    row: int
    column: int
    upper: bool


def vertex_sockets(topology: Topology) -> list[int]:
    """The socket of each vertex; of a memory without CPUs that of the nearest vertex with some."""
    found: dict[int, int] = {}
    for domain, vertex in enumerate(topology.domain_vertex):
        found[vertex] = topology.domain_socket[domain]
    for socket in range(topology.sockets):
        found[topology.vertex(f"socket{socket}")] = socket
    if "cluster0" in topology.vertices:
        for node in range(topology.cpu_nodes):
            found[topology.vertex(f"cluster{node}")] = node // topology.nodes_per_socket
    placed = sorted(found)
    for vertex in range(len(topology.vertices)):
        if vertex not in found:
            nearest = min(placed, key=lambda other: (topology.route_ns(vertex, other), other))
            found[vertex] = found[nearest]
    return [found[vertex] for vertex in range(len(topology.vertices))]


def seats(topology: Topology, left: float, top: float, right: float, bottom: float) -> list[Seat]:
    """A seat for each socket, within the rectangle."""
    rows = ROWS[topology.sockets]
    most = max(rows)
    gap_x, gap_y = BETWEEN_COLUMNS[most], BETWEEN_ROWS.get(most, 0.0)
    width = min(WIDEST, (right - left - gap_x * (most - 1)) / most)
    height = (bottom - top - gap_y * (len(rows) - 1)) / len(rows)
    places = []
    for row, columns in enumerate(rows):
        start = (left + right - columns * width - (columns - 1) * gap_x) / 2
        for column in range(columns):
            x, y = start + column * (width + gap_x), top + row * (height + gap_y)
            places.append(Seat(x, y, width, height, row, column, upper=len(rows) == 2 and row == 0))
    order = _order(topology, places)
    return [places[order[socket]] for socket in range(topology.sockets)]


def _order(topology: Topology, places: list[Seat]) -> tuple[int, ...]:
    """The place of each socket: shortest links together, socket 0 first, then in the order of their numbers."""
    socket = vertex_sockets(topology)
    joined = {(socket[edge.source], socket[edge.target]) for edge in topology.edges}
    pairs = sorted({(min(pair), max(pair)) for pair in joined if pair[0] != pair[1]})

    def length(order: tuple[int, ...]) -> int:
        total = 0
        for one, other in pairs:
            a, b = places[order[one]], places[order[other]]
            total += (a.row - b.row) ** 2 + (a.column - b.column) ** 2
        return total

    rest = range(1, len(places))
    return min(((0, *others) for others in permutations(rest)), key=length)
