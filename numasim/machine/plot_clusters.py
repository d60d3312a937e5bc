"""The inside of a package whose nodes have hubs of their own: its fabric split into clusters, domains next to theirs.

Two clusters with few domains stand left and right of the socket's hub, at the side of their memories; more stand in two
rows, the socket's hub between the rows and the domains outside, as around an I/O die.
"""

import math
from typing import NamedTuple

from numasim.machine.topology import Topology

PAD = 7.0  # points between boxes
STRIP, STEP = 17.0, 12.0  # height of a cluster and of the hub, height of the links between them, at most
LEAST_DOMAIN = 20.0  # height a domain keeps for its L3 and cores
MOST_IN_A_ROW = 4  # domains
INSET = 9.0  # at a cluster's ends: room for the link to the cluster beside it
NAMES = {2: "half", 4: "quadrant"}  # what a cluster is of its die, by clusters a socket


class Rectangle(NamedTuple):
    """Left, top, width and height in points."""

    x: float
    y: float
    width: float
    height: float


class Split(NamedTuple):
    """Where a package's parts stand. clusters, aisles, domains: by their place in the socket.

    aisles: the room through which a cluster's memory channels reach it.  l3_first: of each domain, whether its L3 is
    above its cores, which is where its cluster is.
    """

    hub: Rectangle
    clusters: list[Rectangle]
    aisles: list[Rectangle]
    domains: list[Rectangle]
    l3_first: list[bool]


def rows_of(topology: Topology) -> int:
    """In how many rows the clusters of a socket stand; 0 if it has none."""
    if "cluster0" not in topology.vertices:
        return 0
    return 1 if topology.nodes_per_socket == 1 or beside_hub(topology) else 2


def beside_hub(topology: Topology) -> bool:
    """Whether a socket's clusters stand left and right of its hub, at the side of their memories."""
    return topology.nodes_per_socket == 2 and topology.domains_per_socket <= MOST_IN_A_ROW


def cluster_rows(topology: Topology) -> list[int]:
    """The row of each cluster by its place in a socket: the first ones above."""
    count = topology.nodes_per_socket
    return [place // math.ceil(count / max(1, rows_of(topology))) for place in range(count)]


def both_sides(topology: Topology, seat_rows: int) -> bool:
    """Whether memories stand above and below a package, each by its cluster: where no other package is."""
    return rows_of(topology) == 2 and topology.nodes_per_socket <= 4 and seat_rows == 1


def name_of(topology: Topology, number: int) -> list[list[str]]:
    """What a cluster's box may say, most first."""
    word = NAMES.get(topology.nodes_per_socket, "cluster")
    return [[f"{word} {number} (cluster{number})"], [f"{word} {number}"], [f"{number}"]]


def split(topology: Topology, inner: Rectangle, upper: bool, aisle: float) -> Split:
    """The parts of a package inside a rectangle. upper: its memories are above; aisle: width of one, 0 for none."""
    if beside_hub(topology):
        return _beside(topology, inner, upper)
    rows = rows_of(topology)
    spare = inner.height - rows * LEAST_DOMAIN
    strip = min(STRIP, spare / (rows + 1.8))
    step = min(STEP, (spare - (rows + 1) * strip) / (2 * rows))
    deep = (inner.height - (rows + 1) * strip - 2 * rows * step) / rows
    hub = Rectangle(inner.x, inner.y + deep + strip + 2 * step, inner.width, strip)
    found = Split(hub, [], [], [], [])
    places = cluster_rows(topology)
    columns = places.count(0)
    for place, row in enumerate(places):
        block = _block(inner, place - row * columns, columns)
        inset = min(INSET, block.width / 10)
        y = hub.y + (strip + step) * (1 if row else -1)
        found.clusters.append(Rectangle(block.x + inset, y, block.width - 2 * inset, strip))
        top = inner.y + inner.height - deep if row else inner.y
        first = place == row * columns
        _domains(topology, found, block._replace(y=top, height=deep), aisle, l3_first=row == 1, first=first)
    return found


def _beside(topology: Topology, inner: Rectangle, upper: bool) -> Split:
    """Two clusters with the hub between them."""
    deep = inner.height - STRIP - STEP
    y = inner.y if upper else inner.y + deep + STEP
    wide = inner.width * 0.36
    left = inner.x + wide + 2 * INSET
    found = Split(Rectangle(left, y, inner.width - 2 * (wide + 2 * INSET), STRIP), [], [], [], [])
    for place, x in enumerate((inner.x, inner.x + inner.width - wide)):
        found.clusters.append(Rectangle(x, y, wide, STRIP))
        block = _block(inner, place, 2)._replace(y=inner.y + STRIP + STEP if upper else inner.y, height=deep)
        _domains(topology, found, block, 0.0, l3_first=upper, first=place == 0)
    return found._replace(aisles=found.clusters)


def _block(inner: Rectangle, column: int, columns: int) -> Rectangle:
    """A column of a package: a cluster and its domains."""
    wide = (inner.width - PAD * (columns - 1)) / columns
    return Rectangle(inner.x + column * (wide + PAD), inner.y, wide, inner.height)


def _domains(topology: Topology, found: Split, block: Rectangle, aisle: float, l3_first: bool, first: bool) -> None:
    """Add a cluster's domains side by side, and its aisle in their middle.

    first: of its row, where the package's name stands to the left: of an odd number of domains more are left of it.
    """
    count = topology.domains_per_socket // topology.nodes_per_socket
    aisle = min(aisle, block.width / 3)
    wide = (block.width - aisle - PAD * (count - 1)) / count
    before = math.ceil(count / 2) if first else count // 2
    for place in range(count):
        x = block.x + place * (wide + PAD) + (aisle if place >= before else 0.0)
        found.domains.append(Rectangle(x, block.y, wide, block.height))
        found.l3_first.append(l3_first)
    cluster = found.clusters[-1]
    left = block.x + before * (wide + PAD) - (PAD if before else 0)
    right = left + aisle + (PAD if 0 < before < count else 0)
    left, right = max(left, cluster.x), min(right, cluster.x + cluster.width)
    found.aisles.append(Rectangle(left, block.y, right - left, block.height))
