"""What of a fit is to be doubted, in lines for people: values that data push against a bound, residuals far outside."""

from collections.abc import Sequence

from numasim.calibration.fit import Fitted
from numasim.calibration.host_validate import HostRow
from numasim.calibration.knobs import Knob
from numasim.calibration.validate import Row
from numasim.calibration.values import value_of

FAR = 3.0  # bands: what a right measurement of a machine of this kind hardly shows
PULLED = 10.0  # per cent, by which an experiment without a band has to be off to push a value against its bound
MOST = 8  # lines on residuals
Compared = Row | HostRow


def unconverged(found: Fitted) -> str:
    """Why a fit has not converged, in a line; empty if it has and knows how sure it is of each value."""
    unsure = [knob.key for knob in found.knobs if not found.errors.get(knob.key)]
    turned = [knob.key for knob in found.knobs]
    parts = [
        f"the search for {what} ended at the end of its range (it is {value_of(found.machine, what):g})"
        if what in turned
        else f"{what} ended without success"
        for what in found.unsettled
    ]
    parts += [f"no standard error of {', '.join(unsure)}"] if unsure else []
    return "; ".join(parts)


def doubts(found: Fitted, rows: Sequence[Compared]) -> list[str]:
    """A line for each value at a bound that the data push against it, and for each residual of more than FAR bands."""
    lines = []
    for knob in found.knobs:
        off = [row for row in _deciding(knob, rows) if abs(row.deviation) > _limit(row)]
        if knob.key in found.at_bound and off:
            worst = max(off, key=lambda row: abs(row.deviation))
            lines.append(f"{knob.key} is at its bound, {value_of(found.machine, knob.key):g}: {_told(worst)}")
    far = sorted((row for row in rows if abs(row.deviation) > FAR * row.band), key=lambda row: -abs(row.deviation))
    lines += [f"far outside its band of {row.band:.1f} %: {_told(row)}" for row in far[:MOST]]
    if far[MOST:]:
        lines.append(f"far outside their bands: {len(far) - MOST} more experiments")
    return lines


def _deciding(knob: Knob, rows: Sequence[Compared]) -> list[Compared]:
    """The experiments that decided a value; of a curve alone, its peak."""
    names = {"loaded, peak" if cell.quantity == "peak" else str(cell) for cell in knob.cells}
    return [row for row in rows if row.name in names or row.name.rpartition(" ")[0] in names]


def _limit(row: Compared) -> float:
    return row.band if row.band < float("inf") else PULLED


def _told(row: Compared) -> str:
    figures = f"{row.expected:.1f} {row.unit} measured, {row.simulated:.1f} {row.unit} simulated"
    return f"{row.name}, {figures} ({row.deviation:+.0f} %)"
