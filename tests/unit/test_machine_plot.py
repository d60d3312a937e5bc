"""Does all of a machine's picture lie on the slide, cover nothing else, and say the model's figures?"""

from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from numasim import machine
from numasim.cli.app import app
from numasim.errors import UserError
from numasim.machine import Machine
from numasim.machine.plot import FORMATS, colour_of, draw, layout
from numasim.machine.plot_shapes import Box, Layout, Text, text_width

HOP: dict[str, Any] = {"latency_ns": 40.0, "bandwidth_gbps": 20.8, "count": 1, "request_bytes": 16, "data_bytes": 80}
CXL: dict[str, Any] = {"size_bytes": 2**37, "kind": "curve", "peak_gbps": 26.0, "curve": [[0, 150], [17, 300]]}


def every_pair(sockets: int) -> list[list[str]]:
    return [[f"socket{a}", f"socket{b}"] for a, b in combinations(range(sockets), 2)]


CUBE = [[f"socket{a}", f"socket{a ^ bit}"] for a in range(8) for bit in (1, 2, 4) if a < a ^ bit]
RING = [[f"socket{a}", f"socket{(a + 1) % 4}"] for a in range(4)]


def build(
    sockets: int, pairs: list[list[str]], domains: int = 1, nodes: int = 1, cores: int = 36, **far: Any
) -> Machine:
    tables: dict[str, Any] = machine.load("icx-8360y-2s").expanded()
    shape = {"sockets": sockets, "domains_per_socket": domains, "cores_per_domain": cores, "nodes_per_socket": nodes}
    tables["topology"] |= shape
    tables["links"] = {"upi": HOP | {"pairs": pairs}} if pairs else {}
    if domains > 1:
        inside = [[f"domain{each}", f"socket{each // domains}"] for each in range(sockets * domains)]
        tables["links"]["ondie"] = HOP | {"pairs": inside}
    tables["memory"]["dram"]["nodes"] = list(range(sockets * nodes))
    for name, (node, vertex, end) in far.items():
        tables["memory"][name] = CXL | {"nodes": [node], "vertex": vertex}
        if end:
            tables["links"][f"to-{name}"] = HOP | {"pairs": [[end, vertex]]}
    return machine.from_tables(tables)


def clustered(sockets: int, domains: int, nodes: int, far: int = 0, beside: bool = True, cores: int = 8) -> Machine:
    """Domains at their node's cluster, clusters at their socket and in pairs side by side; far: CXL memories."""
    tables: dict[str, Any] = build(sockets, every_pair(sockets), domains, nodes, cores).expanded()
    a_node, count = domains // nodes, sockets * nodes
    gmi = [[f"domain{each}", f"cluster{each // a_node}"] for each in range(sockets * domains)]
    tables["links"]["gmi"] = HOP | {"pairs": gmi}
    tables["links"]["ondie"] = HOP | {"pairs": [[f"cluster{each}", f"socket{each // nodes}"] for each in range(count)]}
    if beside and nodes > 1:
        pairs = [[f"cluster{each}", f"cluster{each + 1}"] for each in range(count - 1) if each % nodes % 2 == 0]
        tables["links"]["neighbour"] = HOP | {"pairs": pairs}
    for each in range(far):
        tables["memory"][f"cxl{each}"] = CXL | {"nodes": [count + each], "vertex": f"cxl{each}"}
        tables["links"][f"to-cxl{each}"] = HOP | {"pairs": [[f"socket{each % sockets}", f"cxl{each}"]]}
    return machine.from_tables(tables)


CLUSTERED = {name: machine.load(name) for name in ("milan-7763-2s", "genoa-9354p-nps4", "genoa-9224-2s-cxl")} | {
    "quadrants": clustered(2, 12, 4, far=4),
    "halves": clustered(2, 8, 2, far=2, beside=False),
    "half-rows": clustered(4, 4, 2, far=4, beside=False),
    "own": clustered(2, 4, 4),
    "pair": clustered(1, 2, 2, far=1),
    "eighths": clustered(2, 16, 8, far=1),
    "thirds": clustered(2, 9, 3, beside=False),
    "single": clustered(2, 3, 1, beside=False),
    "four-clustered": clustered(4, 8, 4, far=3),
    "eight-clustered": clustered(8, 12, 4, cores=4),
    "eight-halves": clustered(8, 4, 2, cores=4),
    "most-clustered": clustered(8, 16, 8, cores=4),
}
# machines whose memories lie where other boxes, or a package's name, are between them and some clusters
RIM_TOO = {"eighths", "single", "half-rows", "four-clustered", "eight-clustered", "eight-halves", "most-clustered"}
MACHINES = {name: machine.load(name) for name in machine.names()} | {
    "one": build(1, []),
    "three": build(3, every_pair(3)),
    "four": build(4, every_pair(4)),
    "ring": build(4, RING),
    "five": build(5, every_pair(5)),
    "seven": build(7, every_pair(7)),
    "cube": build(8, CUBE),
    "eight": build(8, every_pair(8), domains=4, nodes=4, cores=15),
    "largest": build(8, CUBE, domains=16, nodes=16, cores=8),
    "ccx": build(2, every_pair(2), domains=16, cores=4),
    "cxl": build(2, every_pair(2), cxl0=(2, "cxl0", "socket0"), cxl1=(3, "cxl1", "socket1")),
    "hbm": build(2, every_pair(2), domains=2, nodes=2, hbm0=(4, "domain0", ""), hbm1=(5, "domain3", "")),
    "cores": build(8, CUBE, cores=128),
    **CLUSTERED,
}


def rectangle(text: Text) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a text."""
    wide, half = text_width(text.text, text.size), text.size * 0.6
    left = text.x - wide / 2 if text.anchor == "middle" else text.x
    return left, text.y - half, left + wide, text.y + half


def inside(inner: tuple[float, ...], outer: tuple[float, ...], slack: float = 0.51) -> bool:
    low = inner[0] >= outer[0] - slack and inner[1] >= outer[1] - slack
    return low and inner[2] <= outer[2] + slack and inner[3] <= outer[3] + slack


def apart(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def corners(box: Box) -> tuple[float, float, float, float]:
    return box.x, box.y, box.x + box.width, box.y + box.height


def of_kind(picture: Layout, *kinds: str) -> list[Box]:
    return [box for box in picture.boxes if box.kind in kinds]


def written(picture: Layout) -> list[Text]:
    """All texts of a picture."""
    inner = [text for box in picture.boxes for text in box.texts]
    return [*picture.texts, *(key.text for key in picture.keys), *inner]


@pytest.mark.parametrize("name", MACHINES)
def test_all_is_on_the_slide_and_in_its_box(name: str) -> None:
    picture = layout(MACHINES[name])
    slide = (0.0, 0.0, picture.width, picture.height)
    for box in picture.boxes:
        assert inside(corners(box), slide)
        for text in box.texts:
            assert inside(rectangle(text), corners(box)), text
    for text in [*picture.texts, *(key.text for key in picture.keys)]:
        assert inside(rectangle(text), slide), text
    packages = of_kind(picture, "socket")
    for box in of_kind(picture, "domain", "hub", "l3"):
        assert sum(inside(corners(box), corners(package)) for package in packages) == 1
    domains = of_kind(picture, "domain")
    for cores, domain in zip(picture.cores, domains, strict=True):
        for x, y in cores.squares():
            assert inside((x, y, x + cores.side, y + cores.side), corners(domain))


@pytest.mark.parametrize("name", MACHINES)
def test_nothing_covers_another(name: str) -> None:
    picture = layout(MACHINES[name])
    for kinds in (("socket", "memory"), ("domain", "hub")):
        for a, b in combinations(of_kind(picture, *kinds), 2):
            assert apart(corners(a), corners(b)), (a, b)
    texts = [
        *picture.texts,
        *(key.text for key in picture.keys),
        *(text for box in picture.boxes for text in box.texts),
    ]
    for a, b in combinations(map(rectangle, texts), 2):
        assert apart(a, b)
    for text in [*picture.texts, *(key.text for key in picture.keys)]:
        for box in of_kind(picture, "socket", "memory"):
            assert apart(rectangle(text), corners(box)), text
    for cores in picture.cores:
        squares = [(x, y, x + cores.side, y + cores.side) for x, y in cores.squares()]
        words = [rectangle(text) for box in of_kind(picture, "domain", "l3") for text in box.texts]
        assert all(apart(square, word) for square in squares[:1] + squares[-1:] for word in words)


@pytest.mark.parametrize("name", MACHINES)
def test_all_parts_of_the_machine_are_there(name: str) -> None:
    model = MACHINES[name]
    topology, picture = model.topology, layout(model)
    assert len(of_kind(picture, "socket")) == topology.sockets
    assert len(of_kind(picture, "domain")) == len(of_kind(picture, "l3")) == len(picture.cores) == topology.domains
    assert sum(cores.count for cores in picture.cores) == topology.cores
    assert sorted(node for box in of_kind(picture, "memory") for node in box.nodes) == list(range(topology.nodes))
    assert sorted(edge for line in picture.lines for edge in line.edges) == list(range(len(topology.edges)))
    named = {box.vertex for box in picture.boxes if box.vertex}
    assert named == set(topology.vertices)


@pytest.mark.parametrize("name", MACHINES)
def test_lines_end_at_the_boxes_they_join(name: str) -> None:
    model = MACHINES[name]
    picture = layout(model)
    packages = of_kind(picture, "socket")
    for line in picture.lines:
        if not line.link:
            continue
        edge = model.topology.edges[line.edges[0]]
        assert line.link == edge.link
        for point, vertex in ((line.points[0], edge.source), (line.points[3], edge.target)):
            ends = [box for box in picture.boxes if box.vertex == model.topology.vertices[vertex]]
            ends += [box for box in packages if any(inside(corners(end), corners(box)) for end in ends)]
            assert any(on_rim(point, box) for box in ends), (line, vertex)


@pytest.mark.parametrize("name", CLUSTERED)
def test_clusters_stand_by_their_domains_and_memories(name: str) -> None:
    """Above or below each domain is its own cluster; a node's channels end at its cluster where nothing is between."""
    topology, picture = CLUSTERED[name].topology, layout(CLUSTERED[name])
    boxes = {box.vertex: box for box in picture.boxes if box.vertex}
    for domain, node in enumerate(topology.domain_node):
        box, own = boxes[f"domain{domain}"], boxes[f"cluster{node}"]
        reach = {other: abs(other.middle[1] - box.middle[1]) for other in picture.boxes if other.kind == "hub"}
        assert all(reach[own] <= reach[other] for other in reach if other.vertex.startswith("cluster"))
        assert own.x < box.x + box.width and box.x < own.x + own.width, "one above the other, at least in part"
    packages = [box for box in picture.boxes if box.kind == "socket"]
    for line in picture.lines:
        if line.link:
            continue
        (node,) = line.nodes
        ends = [boxes[f"cluster{node}"], *(packages if name in RIM_TOO else [])]
        assert any(on_rim(line.points[3], box) for box in ends), line
        x, low, high = line.points[0][0], *sorted((line.points[0][1], line.points[3][1]))
        for box in picture.boxes:
            if box.kind in ("domain", "hub") and not on_rim(line.points[3], box):
                assert not (box.x < x < box.x + box.width and low < box.y + box.height and box.y < high), (line, box)
        words = [text for box in packages for text in box.texts]
        assert all(apart((x - 0.5, low, x + 0.5, high), rectangle(text)) for text in words)


@pytest.mark.parametrize("name", CLUSTERED)
def test_links_inside_a_package_cross_no_box(name: str) -> None:
    picture = layout(CLUSTERED[name])
    inner = of_kind(picture, "domain", "hub")
    for line in picture.lines:
        if line.link in ("gmi", "ondie"):
            ends = [box for box in inner if on_rim(line.points[0], box) or on_rim(line.points[3], box)]
            assert len(ends) == 2
            for x, y in (line.at(share / 50) for share in range(51)):
                assert not any(
                    box.x < x < box.x + box.width and box.y < y < box.y + box.height for box in inner if box not in ends
                )


def on_rim(point: tuple[float, float], box: Box) -> bool:
    (x, y), (left, top, right, bottom) = point, corners(box)
    level = min(abs(y - top), abs(y - bottom)) < 0.01 and left <= x <= right
    return level or (min(abs(x - left), abs(x - right)) < 0.01 and top <= y <= bottom)


@pytest.mark.parametrize("name", MACHINES)
def test_what_is_written_can_be_read(name: str) -> None:
    """At least 6 points of a slide's 540; a long name or description is as small as it must be."""
    assert all(text.size >= 6 for text in written(layout(MACHINES[name])) if text.y > 50)


def test_the_figures_are_the_models() -> None:
    picture = layout(MACHINES["icx-8360y-2s"])
    found = [text.text for text in written(picture)]
    for words in (
        "icx-8360y-2s",
        "36 cores, L1D 48 KiB, L2 1.25 MiB each",
        "L3 54 MiB",
        "node 1: 128 GiB",
        "8 channels, 204.8 GB/s",  # 8 x 25.6
        "21.9 ns a hop",
        "67.2 GB/s each way",  # 3 x 22.4
        "upi: 21.9 ns a hop, 3 x 22.4 GB/s each way",
        "72 cores: 3.1 GHz, 2 CPUs each, L1D 48 KiB, L2 1.25 MiB; L3 hit 22.0 ns",
    ):
        assert words in found, words
    assert sum(not line.link for line in picture.lines) == 16, "a line a memory channel"


def test_linked_packages_stand_beside_each_other() -> None:
    """A ring of four has no link across: only level and upright lines."""
    for line in layout(MACHINES["ring"]).lines:
        start, end = line.points[0], line.points[3]
        assert start[0] == pytest.approx(end[0]) or start[1] == pytest.approx(end[1])


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_picture_is_drawn_the_same_each_time(suffix: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}{suffix}" for number in range(2)]
    for file in files:
        draw(MACHINES["cxl"], file)
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert first.startswith({".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}[suffix])
    assert sorted(tmp_path.iterdir()) == files, "nothing is left beside them"


def test_an_svgs_text_is_text_and_links_have_their_colours(tmp_path: Path) -> None:
    model = MACHINES["cxl"]
    draw(model, tmp_path / "m.svg")
    root = ElementTree.parse(tmp_path / "m.svg").getroot()
    words = {"".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"node 2 (cxl0): 128 GiB", "no CPUs, 26 GB/s", "socket 0"} <= words
    text = (tmp_path / "m.svg").read_text()
    assert len({colour_of(model, link) for link in model.links}) == len(model.links) == 3
    assert all(colour_of(model, link) in text for link in model.links)


def test_a_png_has_the_pixels_of_a_large_screen(tmp_path: Path) -> None:
    draw(MACHINES["one"], tmp_path / "m.png")
    head = (tmp_path / "m.png").read_bytes()[16:24]
    assert (int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")) == (1920, 1080)


def test_long_and_missing_descriptions_fit(tmp_path: Path) -> None:
    tables: dict[str, Any] = machine.load("teaching-2s").expanded() | {
        "name": "n" * 200,
        "description": "<&> $x^2$ " * 50,
    }
    for description in (tables["description"], ""):
        model = machine.from_tables(tables | {"description": description})
        assert all(inside(rectangle(text), (0, 0, 960, 540)) for text in layout(model).texts)
        draw(model, tmp_path / "m.svg")
        ElementTree.parse(tmp_path / "m.svg")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("m.gif", "m.gif: cannot draw a .gif (expected one of .svg, .png, .pdf)"),
        ("m", "cannot draw a file without suffix"),
        ("none/m.svg", "none/m.svg: cannot be written (expected a file in a folder that is there)"),
        ("folder.svg", "folder.svg: cannot be written"),
        ("", "--plot: nothing is given"),
    ],
)
def test_mistakes_are_answered(file: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.svg").mkdir()
    answer = CliRunner().invoke(app, ["show", "teaching-2s", "--plot", file])
    assert isinstance(answer.exception, UserError)
    assert expected in str(answer.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.svg"]


def test_show_draws_and_says_where(tmp_path: Path) -> None:
    file = tmp_path / "m.SVG"
    answer = CliRunner().invoke(
        app, ["show", "teaching-2s", "--set", "links.bridge.latency_ns=60", "--plot", str(file)]
    )
    assert answer.output == f"{file}: the topology of teaching-2s with links.bridge.latency_ns=60.0\n"
    assert "60 ns a hop" in file.read_text()
