"""docs/validation.md: every shipped model beside its host, and every prediction of what was left out, with pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from numasim.calibration import coverage, judge, published, validate
from numasim.calibration.held_out import Left
from numasim.calibration.validate import Row
from numasim.machine import load

QUANTITIES = ("idle", "bandwidth", "c2c", "pairs", "peak", "chase", "loaded")
HEAD = """\
# Validation: every model beside its host

Written by `numasim validate --published -o docs/validation.md`. All figures are simulated by the shipped models; what
was measured, and by whom, is in `calibration/hosts`. [calibration.md](calibration.md) says how a model is fitted.
"""
LEFT = """\
## Out of sample: what was left out of fits

The split was fixed before the first of these fits (`calibration/hosts/held_out.toml`); the predictions are in
`calibration/hosts/held_out.csv`, made anew by `python -m numasim.calibration.judge`. *Constant* is a baseline without a
machine: the mean of what was left in, of the same kind (for whole machines: what the relatives measured, bandwidth by
their pins). *M/D/1* is a queue with three constants fitted to the same lower levels.
"""


def text(found: Mapping[str, Sequence[Row]], lefts: Sequence[Left], pictures: str) -> str:
    """The page. found: rows by model.  pictures: the folder of the pictures, as the page names it."""
    return "\n".join(
        [HEAD, *_have(found), *_sample(found), *_curves(found, pictures), LEFT, *_left_out(lefts, pictures), ""]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(head), _line(["---"] * len(head)), *map(_line, rows), ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _kind(row: Row) -> str:
    return row.name.split()[0].rstrip(",")


def _have(found: Mapping[str, Sequence[Row]]) -> list[str]:
    """Which machine has which measurements, and how many values are known how."""
    rows = []
    for name in found:
        model, host = load(name), published.load(name)
        kinds = [model.source(key).partition(":")[0] for key in model.values()]
        counts = [str(kinds.count(kind)) for kind in ("specified", "fitted", "assumed")]
        cells = [str(len(host.of(kind)) or "-") for kind in QUANTITIES[:-1]]
        rows.append([name, *cells, str(len(host.curve.gbps)) if host.curve else "-", *counts])
    head = ["machine", *QUANTITIES, "specified", "fitted", "assumed"]
    about = "How many measurements there are, and how many of a model's values are specified, fitted, assumed:"
    return ["## What was measured", "", about, "", *_table(head, rows)]


def _sample(found: Mapping[str, Sequence[Row]]) -> list[str]:
    """In sample: the worst deviation by quantity."""
    rows = []
    for name, of in found.items():
        cells = []
        for kind in QUANTITIES[:-1]:
            banded = [row for row in of if _kind(row) == kind and np.isfinite(row.band)]
            worst = max(banded, key=lambda row: abs(row.deviation) - row.band, default=None)
            cells.append(_of_band(worst) if worst else "-")
        rows.append([name, *cells])
    about = (
        "The worst cell of each quantity in per cent, and its band: 3 % idle, 5 % bandwidth, 10 % core to core, or the"
        " host's own asymmetry between mirrored cells if that is more. What hangs on values that nothing measured there"
        " decides has no band, and is below."
    )
    listed = [
        f"- {name}: {row.name} {row.expected:.1f} {row.unit} measured, {row.simulated:.1f} simulated"
        f" ({row.deviation:+.0f} %)"
        for name, of in found.items()
        for row in of
        if not np.isfinite(row.band) and _kind(row) != "loaded"
    ]
    return [
        "## In sample",
        "",
        about,
        "",
        *_table(["machine", *QUANTITIES[:-1]], rows),
        "Without a band:",
        "",
        *listed,
        "",
    ]


def _of_band(row: Row) -> str:
    return f"{row.deviation:+.1f} of {row.band:.1f}{'' if row.good else ' (outside)'}"


def levels(found: Mapping[str, Sequence[Row]]) -> dict[str, list[tuple[float, float]]]:
    """The simulated curves (GB/s, ns) by model, out of its rows."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for name, of in found.items():
        points = [row for row in of if row.name.startswith("loaded ")]
        if not points:
            continue
        peak, top = (
            next(row for row in of if row.name == f"loaded, {what}") for what in ("peak", "latency at the peak")
        )
        whole = [(float(row.name.split()[1]), row.simulated) for row in points]
        curves[name] = [*whole, (peak.simulated, top.simulated)]
    return curves


def _curves(found: Mapping[str, Sequence[Row]], pictures: str) -> list[str]:
    rows = []
    for name, of in found.items():
        whole = validate.below_knee(of)
        if whole is None:
            continue
        peak, top = (
            next(row for row in of if row.name == f"loaded, {what}") for what in ("peak", "latency at the peak")
        )
        ends = f"{peak.deviation:+.1f}", f"{top.deviation:+.1f}"
        rows.append([name, f"{whole.median:.1f}; {whole.worst:.1f}", f"{whole.fixed:.1f}", f"{whole.md1:.1f}", *ends])
    head = ["machine", "ours: median; worst", "constant: median", "M/D/1: median", "peak bandwidth", "latency there"]
    about = (
        "Per cent. Below 90 % of the peak the bands are 5 in the median and 15 at worst; 5 for the peak, 20 for the"
        " latency there. Both baselines are fitted to the very curve."
    )
    return [
        "### Latency under load",
        "",
        about,
        "",
        *_table(head, rows),
        f"![Latency under load: measured and simulated]({pictures}/validation-curves.png)",
        "",
    ]


def _left_out(lefts: Sequence[Left], pictures: str) -> list[str]:
    names = {
        "pairs": "node pairs, a whole orbit",
        "load": "load above 60 % of the peak",
        "machine": "a machine, from its sheet",
    }
    rows = []
    for v in judge.verdicts(lefts):
        band = f"{v.band_median:g}; {v.band_worst:g}{'' if v.good else ' (outside)'}"
        beaten = "" if np.isnan(v.beaten) else f" (beaten in {100 * v.beaten:.0f} % of bootstrap samples)"
        rows.append(
            [
                names[v.experiment],
                str(v.rows),
                f"{v.median:.1f}; {v.worst:.1f}",
                band,
                f"{v.fixed:.1f}",
                f"{v.md1:.1f}{beaten}",
            ]
        )
    out = _table(["left out", "values", "error in %: median; worst", "band", "constant", "M/D/1"], rows)
    c = coverage.coverage(coverage.covered(lefts))
    out += [
        f"Predictive intervals of 90 % held {100 * c.share:.1f} % of {c.rows} values (two-sided binomial test: p ="
        f" {c.p_value:.3f}; bootstrap over hosts: {100 * c.low:.0f} to {100 * c.high:.0f} %). Their median half-width"
        f" is {c.width:.1f} %, their mean interval score {c.score:.0f} % against {c.constant:.0f} % for a constant"
        " percentage of the same coverage. By family:",
        "",
        *_table(["family", "inside"], [[family, f"{100 * share:.0f} %"] for family, share in c.families.items()]),
        f"![Predicted against measured]({pictures}/validation-left-out.png)",
        "",
        "Load is predicted at the bandwidth of each level. A level beyond what the model reaches is told by what was"
        " injected, where the log says it: MLC's delay, whose unit the levels that stayed in show.",
        "",
        "Without a band:",
        "",
    ]
    listed: dict[tuple[str, str, str, str], list[float]] = {}
    for v in judge.verdicts(lefts):
        for one in v.listed:
            listed.setdefault((one.experiment, one.host, one.quantity, one.listed), []).append(one.error)
    out += [
        f"- {host}, {quantity} ({names[experiment]}; {why}): {len(errors)} values, off by {min(errors):+.0f} to"
        f" {max(errors):+.0f} %"
        for (experiment, host, quantity, why), errors in listed.items()
    ]
    return out


# ---- pictures ----


def draw(folder: Path, curves: Mapping[str, Sequence[tuple[float, float]]], lefts: Sequence[Left]) -> None:
    """validation-curves.png and validation-left-out.png in a folder. curves: simulated (GB/s, ns) by model."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    rows = -(-len(curves) // 4)
    figure, axes = plt.subplots(rows, 4, figsize=(12, 2.6 * rows), layout="constrained", squeeze=False)
    for axis, (name, simulated) in zip(axes.flat, curves.items(), strict=False):
        measured = published.load(name).curve
        assert measured is not None
        axis.plot(measured.gbps, measured.ns, "o", ms=3.5, color="#b3541e", label="measured")
        axis.plot(*np.array(sorted(simulated)).T, "-", color="#1f5f8b", lw=1.6, label="simulated")
        axis.set_title(name, fontsize=9)
        axis.set_ylim(0, None)
        axis.grid(alpha=0.25)
        axis.tick_params(labelsize=7)
    for axis in axes.flat[len(curves) :]:
        axis.axis("off")
    axes.flat[0].legend(fontsize=7, loc="upper left")
    figure.supxlabel("GB/s", fontsize=9)
    figure.supylabel("ns", fontsize=9)
    figure.savefig(folder / "validation-curves.png", dpi=90)
    plt.close(figure)
    _scatter(folder, lefts, plt)


def _scatter(folder: Path, lefts: Sequence[Left], plt: Any) -> None:
    titles = {"pairs": "node pairs", "load": "load above 60 % of the peak", "machine": "whole machines, from sheets"}
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    found = coverage.covered(lefts)
    for axis, (experiment, title) in zip(axes, titles.items(), strict=True):
        for marker, color, quantity in (
            ("o", "#1f5f8b", "idle"),
            ("s", "#3d8b37", "bandwidth"),
            ("o", "#b3541e", "loaded"),
        ):
            mine = [one for one in found if one.left.experiment == experiment and one.left.quantity == quantity]
            if not mine:
                continue
            x = np.array([one.left.measured for one in mine])
            y = np.array([one.left.predicted for one in mine])
            ends = np.array([[y[k] - one.low, one.high - y[k]] for k, one in enumerate(mine)]).T
            label = f"{quantity} ({'GB/s' if quantity == 'bandwidth' else 'ns'})"
            axis.errorbar(x, y, ends, fmt=marker, ms=3, lw=0.6, color=color, alpha=0.7, label=label)
        low, high = axis.get_xlim()
        axis.plot([low, high], [low, high], "-", color="#888888", lw=0.8)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("measured", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.25)
        axis.legend(fontsize=7)
    axes[0].set_ylabel("predicted, with its interval of 90 %", fontsize=8)
    figure.savefig(folder / "validation-left-out.png", dpi=90)
    plt.close(figure)
