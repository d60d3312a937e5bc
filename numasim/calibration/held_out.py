"""What was left out of a fit, predicted: node pairs, load levels, whole machines. The split is data, fixed before."""

import tomllib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from numasim.assets import shipped
from numasim.calibration import baselines, ddr, fit, intervals, neighbours, published, ship, twins, validate
from numasim.calibration.knobs import near, orbit
from numasim.calibration.published import Cell, Curve, Floats, Host
from numasim.calibration.twins import Twins
from numasim.calibration.values import resourced
from numasim.machine import Machine

Report = Callable[[str, float], None]
NAN = float("nan")
ALONE = "no relative in the family"
DRAWS, CURVE_DRAWS = 8, 3  # machines as likely as the fitted one; a whole curve of each takes seconds
UPPER = (0.5, 0.62, 0.72, 0.8, 0.88, 0.95, 1.0)  # shares of the peak at which the upper levels are simulated
DRAWN = (0.55, 0.8, 1.0)  # the same for the spread
FULL = 2500  # of the chaser, a level above the knee


class Left(NamedTuple):
    """A measurement that was left out.

    experiment: "pairs", "load", "machine" or "programs".  quantity, where: as of a Cell; for a
    curve "loaded" and GB/s.  predicted, fixed, md1: by the model and both baselines with the same training data (nan:
    it says nothing).  spread: relative standard deviation of the prediction over machines as likely as the fitted one.
    listed: no band applies, and why."""

    experiment: str
    host: str
    family: str
    quantity: str
    where: str
    measured: float
    predicted: float
    spread: float
    fixed: float
    md1: float
    listed: str

    @property
    def extrapolated(self) -> bool:
        """Is it a prediction for a family of which no other machine was measured?"""
        return self.listed == ALONE

    @property
    def error(self) -> float:
        """Per cent, with its sign."""
        return 100 * (self.predicted / self.measured - 1)


def split() -> dict[str, Any]:
    """The split, and its bands."""
    return tomllib.loads((shipped("calibration/hosts") / "held_out.toml").read_text(encoding="utf-8"))


def _left(experiment: str, host: Host, cell: Cell, found: tuple[float, float], flat: float, listed: str) -> Left:
    where = " ".join(map(str, cell.where))
    told = (experiment, host.name, host.sheet.family, cell.quantity, where, cell.value)
    return Left(*told, *found, flat, flat, listed)


def _predicted(machine: Machine, cells: Sequence[Cell]) -> dict[Cell, tuple[float, float]]:
    """What a machine says of some cells, with the relative spread over machines as likely: one run an orbit."""
    first: dict[object, Cell] = {}
    for cell in cells:
        first.setdefault(orbit(machine, cell), cell)
    twins = Twins(machine)
    centre = {key: twins.value(cell) for key, cell in first.items()}
    others = [Twins(other) for other in intervals.draws(machine, DRAWS)]
    spread = {key: float(np.std([other.value(cell) for other in others])) / centre[key] for key, cell in first.items()}
    return {cell: (centre[key], spread[key]) for cell in cells for key in [orbit(machine, cell)]}


# ---- node pairs ----


def pairs(name: str, told: Report) -> list[Left]:
    """Each orbit of node pairs of a host left out in turn: its idle latencies and its bandwidths."""
    host = published.load(name)
    sheet, _ = ship.settle(host)
    base = neighbours.from_spec(sheet).machine
    matrices = [c for c in host.cells if c.quantity in ("idle", "bandwidth")]
    found = []
    for key in dict.fromkeys(orbit(base, c)[1:] for c in matrices if "local" not in orbit(base, c)):
        out = [c for c in matrices if orbit(base, c)[1:] == key]
        alone = int(out[0].where[1]) >= base.topology.cpu_nodes
        if alone and all(near(base, c) for c in out):
            continue  # a memory without CPUs seen by its own socket: nothing else speaks of it
        told(f"{name} without {' '.join(map(str, key))}", -1.0)
        rest = [c for c in host.cells if c not in out]
        fitted = fit.fit(base, host._replace(cells=rest, curve=None), rest).machine
        said = _predicted(fitted, out)
        listed = "a memory without CPUs, from the other socket" if alone else ""
        found += [_left("pairs", host, c, said[c], _flat(rest, c), listed) for c in out]
    return found


def _flat(rest: Sequence[Cell], cell: Cell) -> float:
    """The baseline without a machine: the mean of what is left of the same kind, remote for remote."""
    same = [c.value for c in rest if c.quantity == cell.quantity and _is_local(c) == _is_local(cell)]
    return float(np.mean(same)) if same else NAN


def _is_local(cell: Cell) -> bool:
    return cell.where[0] == cell.where[1]


# ---- load levels ----


def load(name: str, above: float, told: Report) -> list[Left]:
    """The upper levels of a host's curve, from everything else: its cells, and the curve's lower levels."""
    host = published.load(name)
    curve = host.curve
    if curve is None:
        return []
    told(f"{name} without its upper levels", -1.0)
    sheet, said = ship.settle(host)
    base = resourced(neighbours.from_spec(sheet).machine, said)
    fitted = fit.fit(base, host._replace(curve=curve.below(above))).machine
    within, _, top = validate.simulated_at(fitted, curve, UPPER)
    at = _beyond(fitted, curve, curve.below(above), within, top)
    drawn = [validate.simulated_at(other, curve, DRAWN) for other in intervals.draws(fitted, CURVE_DRAWS)]
    others = [np.where(np.isnan(ns), full, ns) for ns, _, full in drawn]
    spread = np.std(others, axis=0) / np.mean(others, axis=0)
    low = curve.gbps <= above * curve.peak_gbps
    use = low & (curve.gbps > 0)
    flat, queue = (make(curve.gbps[use], curve.ns[use]) for make in (baselines.fixed, baselines.md1))
    found = []
    for k in np.flatnonzero(~low):
        x, ns, said_ns, wide = (float(v) for v in (curve.gbps[k], curve.ns[k], at[k], spread[k]))
        told_of = ("load", name, sheet.family, "loaded", f"{x:.0f}", ns)
        found.append(Left(*told_of, said_ns, wide, flat(x), queue(x), ""))
    return found


def _beyond(machine: Machine, curve: Curve, low: Curve, at: Floats, top: float) -> Floats:
    """Latencies in ns [level], those beyond what the machine reaches (nan in at) by what was injected: an experiment
    sets that, and the bandwidth stays the same from some load on. low: the levels that tell how fast a delay injects.
    top: latency without a delay, which stands for all of them if no delays are told."""
    known, found = twins.injection(machine, low), np.where(np.isnan(at), top, at)
    if known is None or curve.delays is None:
        return found
    for k in np.flatnonzero(np.isnan(at) & (curve.delays > 0)):
        between = known[0] * curve.delays[k] + known[1]
        pause = max(0, round(between * machine.core.frequency_ghz))
        found[k] = twins.level(machine, curve, pause, FULL).ns
    return found


# ---- programs ----


def programs(name: str, told: Report) -> list[Left]:
    """The programs that no fit reads, on a host that was measured twice: ns an operation."""
    from numasim.calibration import host_ship, host_validate
    from numasim.calibration.host_twins import PROGRAMS
    from numasim.machine import load as model

    told(f"{name}: programs", -1.0)
    a, b = host_ship.load(name)
    ran = [one for one in b.measurements if one.experiment in PROGRAMS]
    rows = host_validate.rows(model(name), a, msgspec.structs.replace(b, measurements=ran))
    return [
        Left("programs", name, name, "program", row.name, row.expected, row.simulated, 0.0, NAN, NAN, "one host")
        for row in rows
    ]


# ---- whole machines ----


def machine(name: str, told: Report) -> list[Left]:
    """A host from its sheet alone: idle latency, local and remote, and peak bandwidth of a node."""
    told(f"{name} from its sheet", -1.0)
    host = published.load(name)
    made = neighbours.from_spec(host.sheet)
    cells = [c for c in host.of("idle") if int(c.where[1]) < made.machine.topology.cpu_nodes]
    cells += [c for c in host.of("bandwidth") if _is_local(c)]
    said = _predicted(made.machine, cells)
    return [_left("machine", host, c, said[c], _relatives_mean(host, c), _unfair(host, made, c)) for c in cells]


def _unfair(host: Host, made: neighbours.Neighboured, cell: Cell) -> str:
    """Why no band applies to a cell; empty if one does."""
    if not any(apart == 0 for apart, *_ in neighbours.relatives(host.sheet)):
        return ALONE
    if cell.quantity == "bandwidth" and any(key.startswith("memory") for key in made.open):
        return "the sheet does not state its memory"
    links = [origin for key, origin in made.origins.items() if key.startswith("links.") and key.endswith("latency_ns")]
    if not _is_local(cell) and all(origin.extrapolated for origin in links):
        return "no relative with such links"
    return ""


def _relatives_mean(host: Host, cell: Cell) -> float:
    """The baseline: what the relatives measured, local for local, remote for remote; bandwidth by the pins' ratio."""
    values = []
    for apart, name, *_ in neighbours.relatives(host.sheet):
        other = published.load(name)
        scale = _pins(host) / _pins(other) if cell.quantity == "bandwidth" and _pins(other) else 1.0
        same = [c.value * scale for c in other.of(cell.quantity) if _is_local(c) == _is_local(cell)]
        values += same if not apart else []
    return float(np.mean(values)) if values else NAN


def _pins(host: Host) -> float:
    """GB/s of a node's memory pins; 0 if the sheet does not say."""
    m = host.sheet.memory
    return ddr.peak_gbps(m.generation, m.mts, m.channels) / host.sheet.nodes_per_socket
