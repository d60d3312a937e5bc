"""The machine's picture coloured by traffic: memories and both directions of links, and the same as a table."""

from typing import Any
from xml.etree.ElementTree import Element

from numasim.errors import UserError
from numasim.machine import Machine, from_tables
from numasim.machine.plot_shapes import Box, Layout, Line, Point, text_width
from numasim.results.figures import percent
from numasim.results.loads import LinkLoad, MemoryLoad
from numasim.results.page.markup import headings, name, table, tag
from numasim.results.result import Result

STEPS = (0.1, 0.3, 0.6, 0.85)  # utilisation from which the next colour and width begin
WIDTHS = (1.5, 3, 5, 7.5, 10, 13)
LARGEST, SMALLEST = 24.0, 9.0  # size of text in points of the picture, at most and at least
MOST_LABELS = 8  # directions of links: those with the most traffic
MOST_ROWS = 16  # of the table: the busiest
NARROW = 200.0  # points: a memory's traffic in a narrower box cannot be read where the picture is as wide as a phone


def machine_of(result: Result) -> Machine | None:
    """The machine that was simulated, from the configuration in the result; None if it does not hold one."""
    tables = result.provenance.get("configuration", {}).get("machine")
    try:
        return from_tables(tables) if isinstance(tables, dict) else None
    except (UserError, TypeError, ValueError):
        return None


def step(utilisation: float) -> int:
    """0 for nothing at all, then 1 to 5: the colour and width of a share of capacity."""
    return 0 if utilisation <= 0 else 1 + sum(utilisation >= limit for limit in STEPS)


def picture(result: Result) -> Element | None:
    """The map; None where the machine is not known, or is one whose links are not those of the result."""
    machine = machine_of(result)
    if machine is None:
        return None
    loads = _by_edge(result, machine)
    if loads is None:
        return None
    from numasim.machine.plot import layout

    return _drawn(layout(machine), loads, {memory.node: memory for memory in result.memory}, result)


def _by_edge(result: Result, machine: Machine) -> list[LinkLoad] | None:
    topology = machine.topology
    known = {(load.source, load.target, load.link): load for load in result.links}
    names = [(topology.vertices[e.source], topology.vertices[e.target], e.link) for e in topology.edges]
    return [known[key] for key in names] if all(key in known for key in names) else None


def _drawn(plan: Layout, loads: list[LinkLoad], memories: dict[int, MemoryLoad], result: Result) -> Element:
    lines = [line for line in plan.lines if line.edges]
    outside = [line for line in lines if not any(_inside(line, box) for box in plan.boxes if box.kind == "socket")]
    edges = [edge for line in outside for edge in line.edges]
    busiest = sorted(edges, key=lambda edge: (-loads[edge].gbps, edge))[:MOST_LABELS]
    labelled = {edge for edge in busiest if loads[edge].gbps > 0}
    parts: list[Element] = [_box(box, memories) for box in plan.boxes]
    for cores in plan.cores:
        square = f"h{cores.side:g}v{cores.side:g}h-{cores.side:g}z"
        squares = "".join(f"M{x:.5g} {y:.5g}{square}" for x, y in cores.squares())
        parts.append(tag("path", d=squares, class_="cores"))
    parts += [part for line in lines for part in _link(line, loads)]
    parts += [label for box in plan.boxes for label in _words(box, memories)]
    packages = sum(box.kind == "socket" for box in plan.boxes)
    narrow = any(box.kind == "memory" and box.width < NARROW for box in plan.boxes)
    large = packages > 2 or (packages == 2 and narrow)
    words = [label for line in outside for label in _labels(line, loads, labelled, LARGEST * (0.7 if large else 1))]
    heights = [float(str(word.get("y"))) for word in words]
    left, right = min(box.x for box in plan.boxes) - 2, max(box.x + box.width for box in plan.boxes) + 2
    top = min([box.y - 2 for box in plan.boxes] + [y - LARGEST for y in heights])
    bottom = max([box.y + box.height + 2 for box in plan.boxes] + [y + LARGEST for y in heights])
    view = f"{left:g} {top:g} {right - left:g} {bottom - top:g}"
    label = f"The machine coloured by traffic. {in_words(result)}"
    kind = "machine large" if large else "machine"
    return tag("svg", parts, words, viewBox=view, role="img", aria_label=label, class_=kind)


def _inside(line: Line, box: Box) -> bool:
    """Whether a line's middle is in a box; in a package there is no room for figures, which the table has."""
    x, y = line.at(0.5)
    return box.x < x < box.x + box.width and box.y < y < box.y + box.height


def in_words(result: Result) -> str:
    """The busiest link and memory, for those who do not see the picture."""
    words = []
    if result.links:
        link = max(result.links, key=lambda load: load.utilisation)
        words.append(f"Busiest link: {_link_text(link)}.")
    if result.memory:
        memory = max(result.memory, key=lambda load: load.utilisation)
        words.append(f"Busiest memory: {_memory_text(memory)}.")
    return " ".join(words)


def _box(box: Box, memories: dict[int, MemoryLoad]) -> Element:
    mine = [memories[node] for node in box.nodes if node in memories]
    heat = step(max((load.utilisation for load in mine), default=0.0)) if box.kind == "memory" else 0
    title = tag("title", "; ".join(_memory_text(load) for load in mine)) if mine else None
    return tag(
        "rect", title, x=f"{box.x:g}", y=f"{box.y:g}", width=f"{box.width:g}", height=f"{box.height:g}", rx=4,
        class_=f"{box.kind} heat{heat}" if box.kind == "memory" else box.kind,
    )  # fmt: skip


def _memory_text(load: MemoryLoad) -> str:
    return (
        f"node {load.node}: {load.read_gbps:.2f} GB/s read, {load.write_gbps:.2f} GB/s written, "
        f"{percent(load.utilisation)} busy"
    )


def _words(box: Box, memories: dict[int, MemoryLoad]) -> list[Element]:
    """What stands in a box: a memory's traffic, a package's name."""
    middle, y = box.middle
    if box.kind == "memory":
        loads = [memories[node] for node in box.nodes if node in memories]
        rate = sum(load.read_gbps + load.write_gbps for load in loads)
        nodes = ",".join(str(node) for node in box.nodes)
        busy = percent(max((load.utilisation for load in loads), default=0.0))
        heat = step(max((load.utilisation for load in loads), default=0.0))
        short = [f"{nodes}: {rate:.0f} GB/s", f"{nodes}: {rate:.0f}"]
        choices = [f"node {nodes}: {rate:.1f} GB/s, {busy}", f"node {nodes}: {rate:.1f} GB/s", *short]
        return [_text(choices, middle, y, box.width - 8, box.height * 0.6, f"on{heat}")]
    if box.kind == "socket" and box.texts:
        return [_text([box.texts[0].text], middle, y, box.width - 20, 40.0, "title")]
    return []


def _text(choices: list[str], x: float, y: float, width: float, height: float, kind: str) -> Element:
    """The first wording that fits at half the largest size or more, else the last as large as it fits."""
    for text in choices:
        size = min(LARGEST, height, width / text_width(text, 1))
        if size >= LARGEST / 2:
            break
    return _put(text, x, y, max(size, SMALLEST), kind)


def _put(text: str, x: float, y: float, size: float, kind: str) -> Element:
    place = {"x": f"{x:.5g}", "y": f"{y:.5g}", "font_size": f"{size:.3g}"}
    return tag("text", text, text_anchor="middle", dominant_baseline="central", class_=kind, **place)


def _link(line: Line, loads: list[LinkLoad]) -> list[Element]:
    """Both directions side by side, each with an arrow's head at its end."""
    drawn = []
    (x0, y0), (x1, y1) = line.points[0], line.points[-1]
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    for edge, points in zip(line.edges, (line.points, line.points[::-1]), strict=False):
        load = loads[edge]
        heat = step(load.utilisation)
        width = min(WIDTHS[heat], length / 2)  # a short line's stroke and head stay between its boxes
        side = _beside(points, 2 + width / 2)
        (x, y), (b, c, d) = side[0], side[1:]
        title = tag("title", _link_text(load))
        curve = f"M{x:.5g} {y:.5g}C{b[0]:.5g} {b[1]:.5g} {c[0]:.5g} {c[1]:.5g} {d[0]:.5g} {d[1]:.5g}"
        drawn.append(tag("path", title, d=curve, class_=f"link rim{heat}", stroke_width=f"{width:g}"))
        drawn.append(tag("path", d=_head(c, d, min(6 + width, 0.8 * length)), class_=f"head on-rim{heat}"))
    return drawn


def _link_text(load: LinkLoad) -> str:
    return f"{load.source} to {load.target} ({load.link}): {load.gbps:.2f} GB/s, {percent(load.utilisation)} busy"


def _beside(points: tuple[Point, ...], distance: float) -> list[Point]:
    """The curve moved to its right, as its two ends lie; each direction so has its own lane."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-9)
    dx, dy = -(y1 - y0) / length * distance, (x1 - x0) / length * distance
    return [(x + dx, y + dy) for x, y in points]


def _head(before: Point, end: Point, size: float) -> str:
    """A triangle whose tip is at the end of a line that comes from `before`."""
    dx, dy = end[0] - before[0], end[1] - before[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    dx, dy = dx / length * size, dy / length * size
    back = end[0] - dx, end[1] - dy
    one, other = (back[0] - dy / 2, back[1] + dx / 2), (back[0] + dy / 2, back[1] - dx / 2)
    return "".join(f"{c}{x:.5g} {y:.5g}" for c, (x, y) in zip("MLL", (end, one, other), strict=True)) + "z"


def _labels(line: Line, loads: list[LinkLoad], labelled: set[int], largest: float) -> list[Element]:
    """GB/s of the directions with the most traffic, beside their lanes; none where a line is too short for words."""
    (x0, y0), (x1, y1) = line.points[0], line.points[-1]
    level, upright = abs(y1 - y0) < 1, abs(x1 - x0) < 1
    made = []
    ways = ((x0, y0), (x1, y1), 0.3), ((x1, y1), (x0, y0), 0.7)
    for edge, (start, end, share) in zip(line.edges, ways, strict=False):
        if edge not in labelled:
            continue
        x, y = line.at(0.5 if level or upright else share)
        text = f"{loads[edge].gbps:.1f} GB/s"
        room = abs(x1 - x0) - 10 if level else 120.0
        size = min(largest, room / text_width(text, 1.06))
        if size < SMALLEST and level:
            text = f"{loads[edge].gbps:.0f}"
            size = min(largest / 1.5, room / text_width(text, 1.1))
        if size < SMALLEST or (upright and abs(y1 - y0) < 3 * size):
            continue
        # away from the lane, to the direction's right
        lane = 6 + WIDTHS[step(loads[edge].utilisation)]
        aside = size * 0.6 + lane if level else text_width(text, size) / 2 + lane + 4
        x, y = (x, y + (aside if end[0] > start[0] else -aside)) if level else (x, y)
        x = x + (aside if start[1] > end[1] else -aside) if upright else x
        made.append(_put(text, x, y, size, "traffic"))
    return made


def table_of(result: Result) -> Element:
    """The busiest links and memories: bars and numbers."""
    rows: list[tuple[float, Any, float]] = [
        (load.utilisation, [name(load.source), " to ", name(load.target), " (", name(load.link), ")"], load.gbps)
        for load in result.links
        if load.gbps
    ]
    rows += [
        (load.utilisation, f"memory of node {load.node}", load.read_gbps + load.write_gbps)
        for load in result.memory
        if load.read_gbps or load.write_gbps
    ]
    if not rows:
        return tag("p", "Nothing left the caches.")
    made = []
    for busy, words, rate in sorted(rows, key=lambda row: -row[0])[:MOST_ROWS]:
        bar = tag("span", class_=f"bar heat{step(busy)}", style=f"width:{100 * min(busy, 1):.1f}%")
        share = tag("span", percent(busy), class_="share")
        cells = tag("td", f"{rate:.2f}"), tag("td", tag("span", bar, class_="track"), share)
        made.append(tag("tr", tag("th", words, scope="row"), cells))
    less = len(rows) - MOST_ROWS
    more = f"; {less} less busy ones are below, under Links and Memory" if less > 0 else ""
    title = f"Links (on the wire, overhead included) and memories, the busiest first{more}"
    return table(title, headings("", "GB/s", "busy"), made, class_="loads")
