"""The shapes a picture of a machine is made of: plain data in points of a slide, y downwards, for any renderer."""

from typing import Literal

from msgspec import Struct

WIDTH, HEIGHT = 960.0, 540.0  # a slide of 16:9 in points, as presentation programs have it
WIDE = 0.57  # mean width of a character in sizes of its font, of sans-serif faces rather too much than too little
SMALLEST = 6.0  # points: smaller text is left out

Point = tuple[float, float]


class Text(Struct, frozen=True):
    """One line of text; (x, y) is the middle of its height, and of its width or its start, by anchor. size: points."""

    x: float
    y: float
    text: str
    size: float
    anchor: Literal["middle", "start"] = "middle"
    bold: bool = False


class Box(Struct, frozen=True):
    """A rectangle; (x, y) is its upper left corner.

    kind: what it stands for.  vertex: its name in `Topology.vertices` ("" if it is part of another).
    nodes: NUMA nodes whose memory it is.  texts: what stands in it.
    """

    kind: Literal["socket", "hub", "domain", "l3", "memory"]
    x: float
    y: float
    width: float
    height: float
    vertex: str = ""
    nodes: tuple[int, ...] = ()
    texts: tuple[Text, ...] = ()

    @property
    def middle(self) -> Point:
        """Its centre."""
        return self.x + self.width / 2, self.y + self.height / 2


class Cores(Struct, frozen=True):
    """A domain's cores as small squares, row by row from (x, y). side: of a square; pitch: from one to the next."""

    domain: int
    x: float
    y: float
    side: float
    pitch: float
    columns: int
    count: int

    def squares(self) -> list[Point]:
        """Upper left corner of each square."""
        cells = (divmod(core, self.columns) for core in range(self.count))
        return [(self.x + column * self.pitch, self.y + row * self.pitch) for row, column in cells]


class Line(Struct, frozen=True):
    """A cubic Bezier curve; straight where its four points are on a line.

    link: name of the link table, or "" for a memory channel.  edges: the numbers in `Topology.edges` of both
    directions, from points[0] to points[3] first; empty for a channel.  nodes: whose channel it is.
    """

    points: tuple[Point, Point, Point, Point]
    link: str = ""
    edges: tuple[int, ...] = ()
    nodes: tuple[int, ...] = ()

    def at(self, share: float) -> Point:
        """The point after this share (0 to 1) of the curve's parameter."""
        rest = 1 - share
        weights = (rest**3, 3 * rest**2 * share, 3 * rest * share**2, share**3)
        x, y = (
            sum(weight * point[axis] for weight, point in zip(weights, self.points, strict=True)) for axis in (0, 1)
        )
        return x, y


class Key(Struct, frozen=True):
    """A line below the picture. link: whose colour it has a sample of, "" for none."""

    text: Text
    link: str = ""


class Layout(Struct, frozen=True):
    """A machine's picture. boxes: outer before inner ones; lines, cores and texts are drawn over them."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    cores: tuple[Cores, ...]
    texts: tuple[Text, ...]
    keys: tuple[Key, ...]


def straight(start: Point, end: Point) -> tuple[Point, Point, Point, Point]:
    """The points of a `Line` without a bend."""
    (x, y), (to_x, to_y) = start, end
    thirds = [(x + (to_x - x) * share / 3, y + (to_y - y) * share / 3) for share in (1, 2)]
    return start, thirds[0], thirds[1], end


def text_width(text: str, size: float) -> float:
    """About how wide a line of text is, in points."""
    return len(text) * size * WIDE


def fitting(
    choices: list[list[str]], x: float, y: float, width: float, height: float, most: float, least: float
) -> list[Text]:
    """The first of several wordings, each a list of lines, that fits a rectangle at size `least` or more, up to `most`.

    Lines are centred, the first of several is bold. If none fits, the last, down to `SMALLEST`; else nothing.
    """
    for lines in choices:
        longest = max(text_width(line, 1) for line in lines)
        size = min(most, (width - min(12, width / 8)) / longest, height / (1.25 * len(lines)))
        if size >= least or (lines is choices[-1] and size >= SMALLEST):
            top = y + height / 2 - 1.25 * size * (len(lines) - 1) / 2
            return [
                Text(x + width / 2, top + 1.25 * size * row, line, size, bold=row == 0 and len(lines) > 1)
                for row, line in enumerate(lines)
            ]
    return []
