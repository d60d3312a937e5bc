"""Measured and simulated, drawn: `numasim validate --plot`. A panel a kind of experiment.

Matrices of nodes are maps of the deviation, sweeps are lines (a chase by its working set, bandwidth by cores), latency
under load has both baselines beside it, and all else is a pair of marks a row.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numasim.calibration import baselines
from numasim.calibration.host_validate import HostRow
from numasim.calibration.published import Curve
from numasim.calibration.validate import Row
from numasim.machine.plot import FORMATS
from numasim.results.files import replacing

Compared = Row | HostRow
MEASURED, SIMULATED, FIXED, MD1 = "#b3541e", "#1f5f8b", "#8a8a8a", "#3d8b37"
MATRICES = {"idle": "Idle latency, ns", "bandwidth": "Read bandwidth, GB/s"}
# of an experiment that is swept: the key along the axis, and what the axis is called
SWEPT = {
    "chase": ("size", "working set, bytes"), "tlb": ("count", "pages"), "chains": ("chains", "chains at once"),
    "stream": ("cores", "cores that read"),
}  # fmt: skip
TITLES = {
    "chase": "Chase, ns a load", "tlb": "A line a page, ns a load", "chains": "Parallel chains, ns a step",
    "stream": "Read bandwidth by cores, GB/s", "loaded": "Latency under load", "c2c": "Core to core, ns",
    "pairs": "Hand-over between cores, ns", "pingpong": "Hand-over between cores, ns", "peak": "Peak bandwidth, GB/s",
    "bandwidth": "Bandwidth, GB/s", "access": "Single loads, ns", "stride": "Chase by strides, ns a load",
    "split": "Loads across two lines, ns", "programs": "Programs, ns an operation",
}  # fmt: skip
PROGRAMS = ("list", "hash", "tree", "slice")
COMMON = ("within=all", "node=0", "size=128k", "allocator=malloc", "order=shuffled", "from=-1")  # left out of labels
POWERS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
SPREAD = 10  # times the least: what is drawn on a scale of powers
COLUMNS, WIDE, HIGH, A_ROW = 2, 6.4, 3.9, 0.24  # inches


class Panel(NamedTuple):
    """A part of the picture. high: inches it asks for.  draw: into these axes."""

    high: float
    draw: Callable[[Any], None]


def check_format(path: str | Path) -> None:
    """Raises UserError for a suffix that is none of a picture's, or a place that cannot be written."""
    from numasim.errors import UserError
    from numasim.results.json import check_writable

    suffix = Path(path).suffix
    if suffix.lower() not in FORMATS:
        raise UserError(f"cannot draw a {suffix or 'file without suffix'}", str(path), f"one of {', '.join(FORMATS)}")
    check_writable(path, "--plot")


def draw(path: str | Path, title: str, rows: Sequence[Compared], curve: Curve | None = None) -> None:
    """Write the picture. curve: latency under load as it was measured, of which rows have the simulated points.

    The file is there whole or not at all. Raises UserError.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_format(path)
    made = panels(rows, curve)
    lines = [made[first : first + COLUMNS] for first in range(0, len(made), COLUMNS)] or [[]]
    heights = [max([panel.high for panel in line], default=HIGH) for line in lines]
    kind = Path(path).suffix.lower()[1:]
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})  # same rows, same bytes
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.size": 9}):
        figure = Figure(figsize=(WIDE * COLUMNS, sum(heights) + 0.5), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(textwrap.fill(title, 110), fontsize=12)
        grid = figure.subplots(len(lines), COLUMNS, squeeze=False, gridspec_kw={"height_ratios": heights})
        for axis, panel in zip(grid.flat, made, strict=False):
            panel.draw(axis)
        for axis in grid.flat[len(made) :]:
            axis.axis("off")
        with replacing(path) as beside:
            figure.savefig(beside, format=kind, dpi=110, metadata=undated)


def panels(rows: Sequence[Compared], curve: Curve | None = None) -> list[Panel]:
    """One for each kind of experiment, in the order of the rows; latency under load first."""
    groups: dict[str, list[Compared]] = {}
    for row in rows:
        kind = row.name.split()[0].rstrip(",")
        groups.setdefault("programs" if kind in PROGRAMS else "peak" if kind == "triad" else kind, []).append(row)
    made = []
    if loaded := groups.pop("loaded", []):
        ours, theirs, lines = _levels(loaded, curve)
        made.append(Panel(HIGH, lambda axis: _loaded(axis, ours, theirs, lines)))
    for kind, found in groups.items():
        if kind in MATRICES and all(len(row.name.split()) == 3 and "=" not in row.name for row in found):
            made.append(Panel(HIGH, _later(_matrix, MATRICES[kind], found)))
        elif kind in SWEPT:
            made.append(Panel(HIGH, _later(_sweep, kind, found)))
        else:
            made.append(Panel(1.4 + A_ROW * len(found), _later(_marks, kind, found)))
    return made


def _later(make: Callable[[Any, str, list[Compared]], None], kind: str, found: list[Compared]) -> Callable[[Any], None]:
    return lambda axis: make(axis, kind, found)


# ---- latency under load ----

Points = list[tuple[float, float]]


def _levels(rows: Sequence[Compared], curve: Curve | None) -> tuple[Points, Points, dict[str, Points]]:
    """(GB/s, ns) measured, and simulated; and what the baselines say that are fitted to the same, by name."""
    if curve is None:
        return _levels_of_file(rows)
    points = [row for row in rows if not row.name.startswith("loaded,")]
    at = [float(row.name.split()[1]) for row in points]
    ends = {row.name.removeprefix("loaded, "): row.simulated for row in rows if row.name.startswith("loaded,")}
    simulated = [(x, row.simulated) for x, row in zip(at, points, strict=True)]
    if {"peak", "latency at the peak"} <= set(ends):
        simulated.append((ends["peak"], ends["latency at the peak"]))
    told = [(x, row.expected) for x, row in zip(at, points, strict=True)]
    return list(zip(curve.gbps.tolist(), curve.ns.tolist(), strict=True)), simulated, _lines(told, curve.peak_gbps)


def _levels_of_file(rows: Sequence[Compared]) -> tuple[Points, Points, dict[str, Points]]:
    """As `_levels`, of a host's own file: each run is a row of ns and one of GB/s."""
    by_run: dict[str, dict[str, Compared]] = {}
    for row in rows:
        run, _, quantity = row.name.rpartition(" ")
        by_run.setdefault(run, {})[quantity] = row
    whole = [found for found in by_run.values() if {"read", "latency"} <= set(found)]
    measured = sorted((found["read"].expected, found["latency"].expected) for found in whole)
    simulated = sorted((found["read"].simulated, found["latency"].simulated) for found in whole)
    return measured, simulated, _lines(measured, max(gbps for gbps, _ in measured)) if measured else {}


def _lines(points: Points, peak: float) -> dict[str, Points]:
    """Both baselines up to a peak in GB/s; none where fewer points are there than M/D/1 has constants."""
    if len(points) < 3:
        return {}
    gbps, ns = np.array(points).T
    models = {"fixed latency": baselines.fixed(gbps, ns), "M/D/1": baselines.md1(gbps, ns)}
    span = np.linspace(float(gbps.min()), peak, 200).tolist()
    return {name: [(x, model(x)) for x in span] for name, model in models.items()}


def _loaded(axis: Any, measured: Points, simulated: Points, lines: Mapping[str, Points]) -> None:
    axis.plot(*np.array(measured).T, "o", ms=5, color=MEASURED, label="measured", zorder=3)
    axis.plot(*np.array(sorted(simulated)).T, "D-", ms=3, color=SIMULATED, lw=1.6, label="simulated")
    for (name, points), color, style in zip(lines.items(), (FIXED, MD1), ("--", ":"), strict=False):
        axis.plot(*np.array(points).T, style, color=color, lw=1.5, label=f"{name}, fitted to the same")
    axis.set_title(TITLES["loaded"], loc="left")
    axis.set(xlabel="GB/s", ylabel="ns")
    axis.set_ylim(0, 1.15 * max(ns for _, ns in (*measured, *simulated)))
    axis.set_xlim(0, None)
    _finish(axis)


# ---- the others ----


def _matrix(axis: Any, title: str, rows: Sequence[Compared]) -> None:
    """A map: row a node of CPUs, column a memory; colour the deviation."""
    places = [tuple(int(word) for word in row.name.split()[1:]) for row in rows]
    down, across = (1 + max(place[k] for place in places) for k in (0, 1))
    off = np.full((down, across), np.nan)
    for place, row in zip(places, rows, strict=True):
        off[place] = row.deviation
    most = max(5.0, float(np.nanmax(np.abs(off))))
    axis.imshow(off, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", alpha=0.75)
    small = max(down, across) > 4
    for (node, memory), row in zip(places, rows, strict=True):
        figures = f"{row.expected:.0f}" if small else f"measured {row.expected:.1f}\nsimulated {row.simulated:.1f}"
        what = f"{figures}\n{row.deviation:+.1f} %"
        axis.text(memory, node, what, ha="center", va="center", fontsize=6.5 if small else 8.5)
    axis.set_xticks(range(across))
    axis.set_yticks(range(down))
    told = f"{title}: measured, and what is simulated beside it" if small else title
    axis.set_title(told, loc="left")
    axis.set(xlabel="memory of node", ylabel="CPUs of node")


def _sweep(axis: Any, kind: str, rows: Sequence[Compared]) -> None:
    """A line for each setting of the other keys, along the one that is swept."""
    key, label = SWEPT[kind]
    lines: dict[str, list[tuple[float, float, float]]] = {}
    for row in rows:
        words = [word for word in row.name.split()[1:] if "=" in word]
        values = dict(word.split("=", 1) for word in words)
        x = _number(values.pop(key)) if key in values else _plain(kind, row)
        name = " ".join(f"{k}={v}" for k, v in values.items() if f"{k}={v}" not in COMMON)
        lines.setdefault(name, []).append((x, row.expected, row.simulated))
    from matplotlib import colormaps

    for number, (name, points) in enumerate(lines.items()):
        x, measured, simulated = np.array(sorted(points)).T
        color = (MEASURED, SIMULATED)[number] if len(lines) < 2 else colormaps["tab10"](number % 10)
        other = SIMULATED if len(lines) < 2 else color
        axis.plot(x, measured, "o", ms=5, color=color, label=f"{name} measured".strip())
        axis.plot(x, simulated, "D-", ms=2.5, lw=1.4, color=other, label=f"{name} simulated".strip())
    axis.set_title(TITLES[kind], loc="left")
    axis.set_xlabel(label)
    if kind != "stream":
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(_short)
    every = np.array([y for points in lines.values() for _, *both in points for y in both])
    if every.min() > 0 and every.max() > SPREAD * every.min():
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(_plainly)
        axis.yaxis.set_minor_formatter(_two_or_five)
    else:
        axis.set_ylim(0, None)
    _finish(axis)


def _plainly(value: float, _: object = None) -> str:
    return f"{value:g}"


def _two_or_five(value: float, _: object = None) -> str:
    """Of the marks between powers of ten, those that are named."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def _plain(kind: str, row: Compared) -> float:
    """What a cell's name has in place of keys: MiB of a chase, cores of a stream."""
    return float(row.name.split()[1]) * (POWERS["m"] if kind == "chase" else 1)


def _number(word: str) -> float:
    return float(word[:-1]) * POWERS[word[-1]] if word[-1] in POWERS else float(word)


def _short(value: float, _: object = None) -> str:
    """64 MiB as 64m."""
    for letter in "gmk":
        if value >= POWERS[letter]:
            return f"{value / POWERS[letter]:g}{letter}"
    return f"{value:g}"


def _marks(axis: Any, kind: str, rows: Sequence[Compared]) -> None:
    """A row each: what was measured and what is simulated, on one scale."""
    words = [_words(kind, row) for row in rows]
    same = [word for word in words[0] if "=" in word and len(rows) > 1 and all(word in other for other in words)]
    names = [" ".join(word for word in one if word not in same) for one in words]
    at = np.arange(len(rows))[::-1]
    measured, simulated = (np.array([getattr(row, side) for row in rows]) for side in ("expected", "simulated"))
    axis.hlines(at, measured, simulated, color="#bbbbbb", lw=2, zorder=1)
    axis.plot(measured, at, "o", ms=8, mfc="none", mew=1.8, color=MEASURED, label="measured")
    axis.plot(simulated, at, "D", ms=4, color=SIMULATED, label="simulated")
    axis.set_yticks(at, names, fontsize=7.5)
    axis.set_ylim(-0.8, len(rows) + 0.6)  # a row more for the legend
    both = np.concatenate([measured, simulated])
    if both.min() > 0 and both.max() > SPREAD * both.min():
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(_plainly)
        narrow = both.max() < 200 * both.min()
        axis.xaxis.set_minor_formatter(_two_or_five if narrow else lambda value, _: "")
    else:
        axis.set_xlim(0, 1.08 * float(both.max()))
    axis.set_title(" ".join([TITLES.get(kind, kind), *([f"({' '.join(same)})"] if same else [])]), loc="left")
    axis.grid(alpha=0.25)
    axis.legend(fontsize=7.5, loc="upper right", ncols=2, borderaxespad=0.3)


def _words(kind: str, row: Compared) -> list[str]:
    """What tells a row from the others of its panel."""
    words = [word for word in row.name.split() if word not in COMMON]
    if kind == "peak":
        return [f"{words[1]}:{words[2]}", "as STREAM's triad" if words[0] == "triad" else "reads:writes"]
    kept = words if kind == "programs" else words[1:]
    if isinstance(row, HostRow) and kept[-1] in ("latency", "operation", "handover", "split"):
        kept = kept[:-1]
    text = " ".join(kept).replace("remote_HITM_homed_in_", "HITM, home of ").replace("local_L2_to_L2_", "local ")
    return text.replace("_", " ").split() or [kind]


def _finish(axis: Any) -> None:
    axis.grid(alpha=0.25)
    axis.legend(fontsize=7.5)
