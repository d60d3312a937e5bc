"""Where everything of a machine's picture lies: packages in one or two rows, memories outside, links between.

Every package is a box with its L3 domains, their cores and, where it has several domains, the fabric that joins them;
its memories lie on the side away from the other row, or above and below, each by its cluster. What is written in a box
is what fits; the keys below say all.
"""

import math

from numasim.machine.model import Machine, Memory
from numasim.machine.plot_clusters import (
    Rectangle,
    Split,
    beside_hub,
    both_sides,
    cluster_rows,
    name_of,
    rows_of,
    split,
)
from numasim.machine.plot_lines import links
from numasim.machine.plot_seats import Seat, seats, vertex_sockets
from numasim.machine.plot_shapes import (
    HEIGHT,
    WIDTH,
    Box,
    Cores,
    Layout,
    Line,
    Text,
    fitting,
    straight,
)
from numasim.machine.plot_words import KEY, MARGIN, TITLE, below, figures, keys_of, memory_words, size_text, title

PAD, CAPTION, HUB, L3 = 7.0, 17.0, 17.0, 17.0  # inside a package: rim, its name, its fabric's and an L3's height
MEMORY, CHANNELS = 48.0, 15.0  # height of a memory, length of its channels
MOST_CHANNELS_DRAWN = 16
AISLE = 5.0  # points: room of a channel between domains
MOST_FAR, MOST_FAR_BESIDE_AISLES = 0.36, 0.25  # share of a package's width for memories without CPUs between others
LARGEST_CORE = 56.0
LEAST = 8.0  # smallest text, points; smaller cannot be read from the last row


def layout(machine: Machine) -> Layout:
    """The picture of a machine on a slide of 960 x 540 points, as plain data: what stands where, for any renderer."""
    topology = machine.topology
    keys = keys_of(machine)
    bottom = HEIGHT - 12 - KEY * math.ceil(len(keys) / 2)
    places = seats(topology, MARGIN, TITLE, WIDTH - MARGIN, bottom - 10)
    drawing = _Drawing(machine, both_sides(topology, 1 + max(seat.row for seat in places)))
    for socket, seat in enumerate(places):
        drawing.package(socket, seat)
    lines = [*drawing.channels, *links(topology, drawing.by_vertex, drawing.packages, places)]
    texts = [*title(machine), *(text for line in lines for text in figures(machine, line, drawing.packages))]
    return Layout(
        WIDTH, HEIGHT, tuple(drawing.boxes), tuple(lines), tuple(drawing.cores), tuple(texts), below(keys, bottom)
    )


class _Drawing:
    """Boxes, cores and channels as packages are added. packages: by socket; by_vertex: the box a vertex is.

    both: whether memories stand above and below packages.
    """

    def __init__(self, machine: Machine, both: bool) -> None:
        self.machine, self.topology, self.both = machine, machine.topology, both
        self.sockets = vertex_sockets(self.topology)
        self.boxes: list[Box] = []
        self.cores: list[Cores] = []
        self.channels: list[Line] = []
        self.by_vertex: dict[int, Box] = {}
        self.packages: list[Box] = []

    def package(self, socket: int, seat: Seat) -> None:
        """Add a package and its memories in its seat."""
        outside = MEMORY + CHANNELS
        height = seat.height - outside * (2 if self.both else 1)
        y = seat.y + (outside if seat.upper or self.both else 0)
        name = f"socket{socket}"
        caption = Text(seat.x + PAD, y + CAPTION / 2 + 2, f"socket {socket}", 11, "start", bold=True)
        whole = self.topology.domains_per_socket == 1 and self.topology.vertex(name) == self._domain_vertex(socket, 0)
        box = Box("socket", seat.x, y, seat.width, height, name if whole else "", (), (caption,))
        self.boxes.append(box)
        self.packages.append(box)
        self.by_vertex[self.topology.vertex(name)] = box
        parts = self._clusters(socket, seat, box) if rows_of(self.topology) else None
        if parts is None:
            self._inside(socket, seat, box, whole)
        self._memories(socket, seat, box, parts)

    def _domain_vertex(self, socket: int, place: int) -> int:
        return self.topology.domain_vertex[socket * self.topology.domains_per_socket + place]

    def _inside(self, socket: int, seat: Seat, box: Box, whole: bool) -> None:
        """Domains in one row or two, and the fabric: between two rows, else away from memories that domains have."""
        topology = self.topology
        count = topology.domains_per_socket
        x, y, width, height = box.x + PAD, box.y + CAPTION + 2, box.width - 2 * PAD, box.height - CAPTION - 2 - PAD
        if whole:
            self._domain(socket, x, y, width, height, l3_first=False)
            return
        rows = 1 if count <= 4 else 2
        columns = math.ceil(count / rows)
        deep = (height - HUB - rows * PAD) / rows
        own = topology.nodes_per_socket == count
        hub_first = rows == 1 and own != seat.upper
        hub_y = y + (0 if hub_first else deep + PAD)
        for place in range(count):
            row, column = divmod(place, columns)
            wide = (width - PAD * (columns - 1)) / columns
            top = y + (HUB + PAD if hub_first or row else 0) + row * (deep + PAD)
            below = row == 0 and not hub_first
            self._domain(socket * count + place, x + column * (wide + PAD), top, wide, deep, l3_first=not below)
        self._hub(f"socket{socket}", Rectangle(x, hub_y, width, HUB), [[f"fabric of socket {socket}"], ["fabric"]])

    def _clusters(self, socket: int, seat: Seat, box: Box) -> Split:
        """Domains by their clusters, these by the socket's hub."""
        topology = self.topology
        inner = Rectangle(box.x + PAD, box.y + CAPTION + 2, box.width - 2 * PAD, box.height - CAPTION - 2 - PAD)
        channels = max(min(memory.channels, MOST_CHANNELS_DRAWN) for memory in self.machine.node_memory)
        parts = split(topology, inner, seat.upper, AISLE * channels if self.both else 0.0)
        for place, (where, l3_first) in enumerate(zip(parts.domains, parts.l3_first, strict=True)):
            self._domain(socket * topology.domains_per_socket + place, *where, l3_first=l3_first)
        for number, where in enumerate(parts.clusters, socket * topology.nodes_per_socket):
            self._hub(f"cluster{number}", where, name_of(topology, number))
        self._hub(f"socket{socket}", parts.hub, [[f"fabric of socket {socket}"], ["fabric"]])
        return parts

    def _hub(self, vertex: str, where: Rectangle, words: list[list[str]]) -> None:
        hub = Box("hub", *where, vertex, (), tuple(fitting(words, *where, 9.5, LEAST)))
        self.boxes.append(hub)
        self.by_vertex[self.topology.vertex(vertex)] = hub

    def _domain(self, domain: int, x: float, y: float, width: float, height: float, l3_first: bool) -> None:
        machine, count = self.machine, self.topology.cores_per_domain
        vertex = self.topology.domain_vertex[domain]
        name = self.topology.vertices[vertex]
        size = size_text(machine.l3.size_bytes)
        numbered = f"domain {domain}, L3 {size}" if self.topology.domains > self.topology.sockets else f"L3 {size}"
        l3_y = y if l3_first else y + height - L3
        text = fitting([[numbered], [f"L3 {size}"], [size]], x, l3_y, width, L3, 10, LEAST)
        inner = y + (L3 if l3_first else 0)
        own = f"L1D {size_text(machine.l1d.size_bytes)}, L2 {size_text(machine.l2.size_bytes)} each"
        words = [[f"{count} cores, {own}"], [f"{count} cores"], [f"{count}"]]
        note = fitting(words, x, inner + 2, width, 13, 10, LEAST) if height - L3 > 34 else []
        box = Box("domain", x, y, width, height, name, (), tuple(note))
        self.boxes += [box, Box("l3", x, l3_y, width, L3, "", (), tuple(text))]
        if not name.startswith("socket"):
            self.by_vertex[vertex] = box
        above = 16 if note else 3
        self.cores.append(_squares(domain, count, x + 4, inner + above, width - 8, height - L3 - above - 3))

    def _memories(self, socket: int, seat: Seat, box: Box, parts: Split | None) -> None:
        """The memories of a package in a row, or in two: those of clusters in their order, the others between."""
        topology = self.topology
        groups: dict[int, list[int]] = {}
        for vertex, node in sorted((vertex, node) for node, vertex in enumerate(topology.node_vertex)):
            if self.sockets[vertex] == socket:
                alone = topology.vertices[vertex] == self.machine.node_memory[node].vertex
                groups.setdefault(vertex if alone and vertex not in self.by_vertex else -1 - node, []).append(node)
        lower = seat.y if seat.upper else seat.y + seat.height - MEMORY
        if parts is None:
            self._row(list(groups.items()), lower, seat, box, 1.0, None)
            return
        own = {nodes[0]: (key, nodes) for key, nodes in groups.items() if nodes[0] < topology.cpu_nodes}
        others = [(key, nodes) for key, nodes in groups.items() if nodes[0] >= topology.cpu_nodes]
        rows = cluster_rows(topology)
        first = [own[node] for node in own if rows[node % topology.nodes_per_socket] == 0]
        second = [own[node] for node in own if rows[node % topology.nodes_per_socket] == 1]
        if self.both:
            self._row(first, seat.y, seat, box, 1.0, parts)
        else:
            second = first + second
        half = math.ceil(len(second) / 2)
        groups_in_row = [*second[:half], *others, *second[half:]]
        reached = parts if self.both or (beside_hub(topology) and not seat.upper) else None  # the name is above
        self._row(groups_in_row, lower, seat, box, MOST_FAR_BESIDE_AISLES if self.both else MOST_FAR, reached)

    def _row(
        self, groups: list[tuple[int, list[int]]], y: float, seat: Seat, box: Box, most_far: float, parts: Split | None
    ) -> None:
        """Memories side by side. most_far: share of those without CPUs; parts: what channels lead to, None: the rim."""
        topology = self.topology
        gap = min(PAD, seat.width / len(groups) / 4)
        room = seat.width - gap * (len(groups) - 1)
        far = sum(nodes[0] >= topology.cpu_nodes for _, nodes in groups)
        share = min(most_far, far / len(groups)) if far < len(groups) else 1.0
        x = seat.x
        for key, nodes in groups:
            name = topology.vertices[key] if key >= 0 else ""
            own = nodes[0] < topology.cpu_nodes
            wide = room * ((1 - share) / (len(groups) - far) if own else share / far)
            texts = fitting(memory_words(self.machine, nodes, name), x, y, wide, MEMORY, 11, LEAST)
            memory = Box("memory", x, y, wide, MEMORY, name, tuple(nodes), tuple(texts))
            self.boxes.append(memory)
            if name:
                self.by_vertex[key] = memory
            elif parts and own:
                place = nodes[0] % topology.nodes_per_socket
                aisle, cluster = parts.aisles[place], parts.clusters[place]
                self.channels += _channels(self.machine.node_memory[nodes[0]], memory, cluster, aisle)
            else:
                self.channels += _channels(self.machine.node_memory[nodes[0]], memory, box, memory)
            x += wide + gap


def _squares(domain: int, count: int, x: float, y: float, width: float, height: float) -> Cores:
    """Cores as the largest squares that fit, in the middle; of such the fullest last row, then the squarest."""

    def pitch_of(columns: int) -> float:
        return min(width / columns, height / math.ceil(count / columns))

    def rank(columns: int) -> tuple[float, int, int]:
        rows = math.ceil(count / columns)
        return min(LARGEST_CORE, pitch_of(columns)), count - columns * rows, -abs(columns - rows)

    columns = max(range(1, count + 1), key=rank)
    pitch = min(LARGEST_CORE, pitch_of(columns))
    rows = math.ceil(count / columns)
    left, top = x + (width - columns * pitch) / 2, y + (height - rows * pitch) / 2
    return Cores(domain, left + pitch * 0.1, top + pitch * 0.1, pitch * 0.8, pitch, columns, count)


def _channels(memory: Memory, box: Box, end: Box | Rectangle, room: Box | Rectangle) -> list[Line]:
    """A short line a memory channel from a memory's box to what it leads to, within the width of a room."""
    above = box.y < end.y
    start, stop = (box.y + box.height, end.y) if above else (box.y, end.y + end.height)
    count = min(memory.channels, MOST_CHANNELS_DRAWN)
    left, right = max(box.x, room.x), min(box.x + box.width, room.x + room.width)
    places = [(left + right) / 2 + (right - left) * 0.7 * ((number + 0.5) / count - 0.5) for number in range(count)]
    return [Line(straight((x, start), (x, stop)), nodes=box.nodes) for x in places]
