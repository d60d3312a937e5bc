"""The lines of a machine's picture: links between boxes, and where on the boxes' sides they begin and end."""

from typing import Literal, NamedTuple

from numasim.machine.plot_seats import Seat, vertex_sockets
from numasim.machine.plot_shapes import Box, Line, Point, straight
from numasim.machine.topology import Topology

Side = Literal["left", "right", "top", "bottom"]
_FACING: dict[Side, Side] = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
NEAR_MIDDLE = 0.6  # share of a side that lines are spread over


class _End(NamedTuple):
    edge: int
    box: Box
    side: Side
    other: Box


def links(topology: Topology, boxes: dict[int, Box], packages: list[Box], seats: list[Seat]) -> list[Line]:
    """A line for each pair of linked vertices. boxes: by vertex; packages, seats: by socket."""
    sockets = vertex_sockets(topology)
    ends: list[_End] = []
    for number in range(0, len(topology.edges), 2):  # edges come as both directions of a pair
        pair = (topology.edges[number].source, topology.edges[number].target)
        inside = sockets[pair[0]] == sockets[pair[1]] and "memory" not in {boxes[vertex].kind for vertex in pair}
        one, other = (
            packages[sockets[vertex]] if boxes[vertex].kind == "hub" and not inside else boxes[vertex]
            for vertex in pair
        )
        sides = _sides(one, other, seats[sockets[pair[0]]], seats[sockets[pair[1]]], inside, boxes)
        ends += [_End(number, one, sides[0], other), _End(number, other, sides[1], one)]
    ports = _ports(ends)
    lines = []
    for first, second in zip(ends[::2], ends[1::2], strict=True):
        points = (ports[first], ports[second])
        curve = _bent(*points, first.side) if first.side == second.side else straight(*points)
        lines.append(Line(curve, topology.edges[first.edge].link, (first.edge, first.edge + 1)))
    return lines


def _sides(a: Box, b: Box, seat_a: Seat, seat_b: Seat, inside: bool, boxes: dict[int, Box]) -> tuple[Side, Side]:
    """The sides of two boxes that a line between them joins: facing ones, or both inner ones if others are between."""
    inner: Side = "bottom" if seat_a.upper else "top"
    across: Side = "right" if a.x < b.x else "left"
    if not inside and seat_a.row == seat_b.row and "memory" not in (a.kind, b.kind):
        beside = abs(seat_a.column - seat_b.column) == 1 and "domain" not in (a.kind, b.kind)
        return (across, _FACING[across]) if beside else (inner, inner)
    if a.y + a.height <= b.y or b.y + b.height <= a.y:
        side: Side = "bottom" if a.y < b.y else "top"
        return side, _FACING[side]
    return (inner, inner) if _between(a, b, boxes) else (across, _FACING[across])


def _between(a: Box, b: Box, boxes: dict[int, Box]) -> bool:
    """Whether a box of the same kind stands between two in a row."""
    low, high = sorted((a.x, b.x))
    return any(box.kind == a.kind and box.y == a.y and low < box.x < high for box in boxes.values())


def _ports(ends: list[_End]) -> dict[_End, Point]:
    """Where each line meets its boxes: spread over the side in the order of where they lead, so that few cross."""
    found: dict[_End, Point] = {}
    for box, side in dict.fromkeys((end.box, end.side) for end in ends):
        flat = side in ("top", "bottom")
        here = [end for end in ends if (end.box, end.side) == (box, side)]
        here.sort(key=lambda end: (end.other.middle[0 if flat else 1], end.edge))
        length, middle = (box.width, box.middle[0]) if flat else (box.height, box.middle[1])
        for place, end in enumerate(here):
            other = end.other
            along = middle + length * NEAR_MIDDLE * ((place + 1) / (len(here) + 1) - 0.5)
            low, high = max(box.x, other.x), min(box.x + box.width, other.x + other.width)
            if flat and low < high and max(box.width, other.width) > 1.2 * min(box.width, other.width):
                along = (low + high) / 2  # straight across to a box much narrower or wider
            across = {"left": box.x, "right": box.x + box.width, "top": box.y, "bottom": box.y + box.height}[side]
            found[end] = (along, across) if flat else (across, along)
    return found


def _bent(start: Point, end: Point, side: Side) -> tuple[Point, Point, Point, Point]:
    """A bow from one box to another in its row, away from both; the farther they are apart, the deeper."""
    depth = 20 + abs(end[0] - start[0]) / 19  # at most 58 at the slide's width: less than half of what rows are apart
    depth = depth if side == "bottom" else -depth
    return start, (start[0], start[1] + depth), (end[0], end[1] + depth), end
