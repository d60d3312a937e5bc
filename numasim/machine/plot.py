"""The topology a lecturer puts on a slide: a machine drawn by matplotlib into an SVG, PNG or PDF file."""

import os
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from numasim.errors import UserError
from numasim.machine.model import Machine
from numasim.machine.plot_layout import layout
from numasim.machine.plot_shapes import Layout, Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FORMATS", "Layout", "draw", "layout"]

FORMATS = (".svg", ".png", ".pdf")
PNG_DPI = 144  # 1920 x 1080 pixels
INK, PAPER = "#1c2733", "#ffffff"
FILL = {"socket": "#eef2f6", "hub": "#d7dee6", "domain": "#ffffff", "l3": "#cfe3f3", "memory": "#e6efdc"}
RIM = {"socket": "#52606d", "hub": "#8a97a4", "domain": "#8a97a4", "l3": "#6b9cc4", "memory": "#7a9a52"}
CORE = "#8a97a4"
LINKS = ("#c0392b", "#8e44ad", "#d68910", "#117a65", "#1f618d", "#6e2c00")  # by order of the link tables, dark on white


def colour_of(machine: Machine, link: str) -> str:
    """The colour of a link table in the picture."""
    return LINKS[list(machine.links).index(link) % len(LINKS)]


def draw(machine: Machine, path: str | Path) -> None:
    """Write the picture to a file; its format is its suffix, one of `FORMATS`.

    The file is there whole or not at all. Raises UserError for another suffix, or if it cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UserError(
            f"cannot draw a {path.suffix or 'file without suffix'}", str(path), f"one of {', '.join(FORMATS)}"
        )
    if path.is_dir() or not path.parent.is_dir():
        raise UserError("cannot be written", str(path), "a file in a folder that is there")
    try:
        handle, beside = tempfile.mkstemp(suffix, f".{path.stem}-", path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                _save(machine, file, suffix[1:])
            Path(beside).chmod(0o644)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(error.strerror or "cannot be written", str(path), "a file that can be written") from None


def _save(machine: Machine, file: IO[bytes], kind: str) -> None:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = layout(machine)
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})  # same machine, same bytes
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": machine.name}):
        figure = Figure(figsize=(picture.width / 72, picture.height / 72), facecolor=PAPER)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, picture.width)
        axes.set_ylim(picture.height, 0)
        axes.axis("off")
        _boxes(axes, picture)
        _lines(axes, machine, picture)
        for text in [*picture.texts, *(text for box in picture.boxes for text in box.texts)]:
            _write(axes, text)
        figure.savefig(file, format=kind, dpi=PNG_DPI, metadata=undated)


def _boxes(axes: "Axes", picture: Layout) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import FancyBboxPatch, Rectangle

    for box in picture.boxes:
        style = f"round,pad=0,rounding_size={5 if box.kind in ('socket', 'memory') else 2}"
        axes.add_patch(
            FancyBboxPatch((box.x, box.y), box.width, box.height, style, fc=FILL[box.kind], ec=RIM[box.kind], lw=1)
        )
    for cores in picture.cores:
        squares = [Rectangle(corner, cores.side, cores.side) for corner in cores.squares()]
        axes.add_collection(PatchCollection(squares, facecolor=CORE, edgecolor="none"))


def _lines(axes: "Axes", machine: Machine, picture: Layout) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    for line in picture.lines:
        curve = Curve(line.points, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
        colour = colour_of(machine, line.link) if line.link else RIM["memory"]
        axes.add_patch(PathPatch(curve, fc="none", ec=colour, lw=2.5 if line.link else 1.5, capstyle="butt", zorder=2))
    for key in picture.keys:
        if key.link:
            x, y = key.text.x, key.text.y
            axes.plot([x - 20, x - 5], [y, y], color=colour_of(machine, key.link), lw=2.5)
        _write(axes, key.text)


def _write(axes: "Axes", text: Text) -> None:
    align = "center" if text.anchor == "middle" else "left"
    weight = "bold" if text.bold else "normal"
    axes.text(
        text.x,
        text.y,
        text.text,
        size=text.size,
        ha=align,
        va="center_baseline",
        color=INK,
        weight=weight,
        zorder=3,
        parse_math=False,
    )
