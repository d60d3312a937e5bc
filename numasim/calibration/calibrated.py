"""From files of measurements and a machine to begin with to a fitted model: what `numasim calibrate` does."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from numasim.calibration import (
    bootstrap,
    compose,
    doubts,
    fit,
    host_fit,
    host_validate,
    neighbours,
    published,
    ship,
    spec,
    validate,
    written,
)
from numasim.calibration.host_base import base as base_of
from numasim.calibration.host_base import own
from numasim.calibration.host_file import HostFile
from numasim.calibration.knobs import Knob
from numasim.calibration.published import Host
from numasim.calibration.readers import formats
from numasim.calibration.readers.measured import Measured, check_size, together
from numasim.calibration.spec import Spec
from numasim.calibration.values import resourced, value_of
from numasim.errors import UserError
from numasim.machine import Machine, from_tables, load
from numasim.results.files import replacing

_MACHINE = "--base MODEL, or --spec SPEC.toml (or a folder of measurements that has a spec.toml)"


Compared = validate.Row | host_validate.HostRow


class Start(NamedTuple):
    """What a fit begins with. notes: sentences on what was read but is not fitted to.  file: a file of this project's
    own that is to be fitted to as a whole, experiment by experiment, in place of `host`'s cells.  where: its name."""

    machine: Machine
    host: Host
    notes: list[str]
    file: HostFile | None = None
    where: str = ""


class Done(NamedTuple):
    """A fit that ended. prior: values before it, by key.  rows: each experiment, measured and simulated, the worst
    first.  missing: keys without a standard error.  unconverged: why the fit has not converged (empty: it has).
    doubts: values and experiments that are not to be relied on, a line each.  notes: what it could not decide, and why.
    seconds: how long it took."""

    fitted: fit.Fitted
    prior: dict[str, float]
    rows: list[Compared]
    missing: list[str]
    unconverged: str
    doubts: list[str]
    notes: list[str]
    seconds: float


def read(inputs: Sequence[str]) -> tuple[dict[str, Measured], Spec | None]:
    """What each input holds, and the sheet of the first that has one: files, and hosts by name or folder.

    Raises UserError.
    """
    found: dict[str, Measured] = {}
    sheet: Spec | None = None
    for word in inputs:
        if not word:
            raise UserError("nothing is given", "INPUT", "a file of measurements")
        if word in found:
            raise UserError("is given twice", word, "each measurement once")
        path = Path(word)
        if (path / "spec.toml").is_file() or (not path.exists() and word in published.names()):
            host = published.load(path if path.is_dir() else word)
            found[word] = Measured(host.cells, host.curve, {})
            sheet = sheet or host.sheet
        else:
            found[word] = formats.read(path)
    return found, sheet


def start(
    inputs: Sequence[str],
    name: str = "",
    base: str | None = None,
    sheet: str | None = None,
    set: Mapping[str, str] = {},
) -> Start:
    """The machine to fit, and the host it is fitted to.

    base: a model, shipped or a file, with `set` changed.  sheet: a specification sheet's file, whose gaps the
    measurements and the nearest measured relatives fill.  name: of the fitted model ("": as the sheet's or the base's).
    With neither, one file of `numasim measure` is enough: it says what the host is, and the nearest model gives the
    rest, though never the host's own. Raises UserError.
    """
    files, own = read(inputs)
    if base is not None and sheet is not None:
        raise UserError("--base beside --spec", "calibrate", "one of the two")
    if len(files) == 1 and sheet is None and (alone := files[inputs[0]].file):
        return _of_file(alone, inputs[0], files[inputs[0]], name, base, set)
    if base is not None:
        machine = load(base, set)
        about = f"{machine.description}, fitted to {', '.join(inputs)}"
        machine = renamed(machine, name or machine.name, about)
        # of a host, a fit and its comparison read name, cells and curve; a base stands in for the sheet
        found = together(machine.name, cast(Spec, None), machine, files)
        return Start(machine, found.host, found.notes)
    if set:
        raise UserError("--set without --base", "calibrate", "a base to change; or other values in the sheet")
    known = spec.load(sheet) if sheet is not None else own
    if known is None:
        raise UserError("of which machine?", ", ".join(inputs), _MACHINE)
    first = neighbours.from_spec(known).machine
    found = together(name or known.name, known, first, files)
    notes = found.notes
    machine = first
    if compose.unstated(known):
        whole, said = ship.settle(found.host)
        machine = resourced(neighbours.from_spec(whole).machine, said)
        notes = notes + [f"{key}: {text}" for key, text in said.items()]
    return Start(renamed(machine, name or machine.name, machine.description), found.host, notes)


def _of_file(
    file: HostFile, where: str, measured: Measured, name: str, base: str | None, set: Mapping[str, str]
) -> Start:
    """One file of `numasim measure` is fitted to as it is: it has more than cells hold."""
    if base is not None:
        machine = load(base, set)
        check_size(measured, machine, where)
        machine = renamed(machine, name or machine.name, f"{machine.description}, fitted to {where}")
    elif set:
        raise UserError("--set without --base", "calibrate", "a base to change")
    else:
        machine = base_of(file, name or "host", where)
    host = Host(machine.name, cast(Spec, None), [], None)
    said = {key: text for key, text in measured.environment.items() if key != "left out"}  # of cells
    only = Measured([], None, said)
    notes = together(machine.name, host.sheet, machine, {where: only}).notes
    if base is None and (known := own(file)):
        notes.append(f"{where}: this host's own model is not learnt from; --base {known[0]} begins with it")
    return Start(machine, host, notes, file, where)


def renamed(machine: Machine, name: str, description: str) -> Machine:
    """The machine by another name."""
    tables: dict[str, Any] = machine.expanded()
    return from_tables({**tables, "name": name, "description": description}, file=name)


def calibrate(begun: Start, report: fit.Report | None = None, refits: int = 0) -> Done:
    """Fit, then simulate each experiment with the fitted model. refits: of a bootstrap, which tells how sure the fit is
    of all values together (0: none). Raises UserError if the data decide nothing."""
    notes: list[str] = []
    first = time.monotonic()
    if begun.file:
        found, notes = host_fit.noted(
            begun.file, begun.machine, report=report, name=begun.machine.name, where=begun.where
        )
    else:
        found = fit.fit(begun.machine, begun.host, report=report)
    if refits:
        problem = bootstrap.Problem(begun.machine, begun.host, begun.file, begun.where)
        found = bootstrap.bootstrap(problem, found, refits, report)
    prior = {knob.key: value_of(begun.machine, knob.key) for knob in found.knobs}
    rows = sorted(compared(begun._replace(machine=found.machine), report), key=lambda row: -abs(row.deviation))
    missing = [knob.key for knob in found.knobs if not found.errors.get(knob.key)]
    told = doubts.doubts(found, rows)
    return Done(found, prior, rows, missing, doubts.unconverged(found), told, notes, round(time.monotonic() - first, 1))


def compared(begun: Start, report: fit.Report | None = None) -> list[Compared]:
    """Each experiment, measured and simulated with the machine as it is, in the order of the measurements."""
    if begun.file:
        return list(host_validate.rows(begun.machine, None, begun.file, report))
    if report:
        report(f"{begun.host.name}: experiments", -1.0)
    return list(validate.rows(begun.machine, begun.host))


def fixed_by(knob: Knob) -> str:
    """The experiments that decide a value, and how many values of them: "4 idle, 2 c2c"."""
    counts: dict[str, int] = {}
    for cell in knob.cells:
        counts[cell.quantity] = counts.get(cell.quantity, 0) + 1
    return ", ".join(f"{count} {quantity}" for quantity, count in counts.items())


def text(done: Done, inputs: Sequence[str]) -> str:
    """The model as a commented file."""
    found = done.fitted
    lines = [
        f"{found.machine.description}.",
        "",
        f"Fitted by numasim calibrate to {', '.join(inputs)}:",
        f"{len(found.knobs)} values to {found.cells} measured ones, {found.independent} of them independent.",
        "[sources] says where each value is from, [uncertainty] how well the fit knows it.",
    ]
    for what, keys in (
        ("Not determined by the data", found.undetermined),
        ("At a bound", found.at_bound),
        ("Not converged", [done.unconverged] if done.unconverged else []),
    ):
        if keys:
            lines.append(f"{what}: {', '.join(keys)}.")
    lines += [f"Doubtful: {line}." for line in done.doubts]
    return written.text(found.machine, "\n".join(lines))


def write(text: str, path: str | Path) -> None:
    """Write the model's file, all or nothing: beside, then renamed. Raises UserError if it cannot."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def as_dict(begun: Start, done: Done) -> dict[str, Any]:
    """All of it for --json."""
    found = done.fitted
    return {
        "model": found.machine.name,
        "values": [
            {
                "key": knob.key,
                "value": value_of(found.machine, knob.key),
                "standard_error": found.errors.get(knob.key) or None,
                "prior": done.prior[knob.key],
                "bounds": [knob.low, knob.high],
                "fixed_by": [str(cell) for cell in knob.cells],
            }
            for knob in found.knobs
        ],
        "correlation": [[float(value) for value in row] for row in found.correlation],
        "not_determined": found.undetermined,
        "at_bound": found.at_bound,
        "without_standard_error": done.missing,
        "converged": not done.unconverged,
        "not_converged": done.unconverged or None,
        "doubts": done.doubts,
        "seconds": done.seconds,
        "free_parameters": len(found.knobs),
        "measurements": found.cells,
        "independent_measurements": found.independent,
        "simulated_experiments": found.evaluations,
        "experiments": [row_dict(row) for row in done.rows],
        "notes": [*begun.notes, *done.notes],
        "parameters": found.machine.expanded(),
    }


def row_dict(row: Compared) -> dict[str, Any]:
    """A comparison for --json; what there is none of is null."""
    return {
        "experiment": row.name,
        "unit": row.unit,
        "expected": row.expected,
        "simulated": row.simulated,
        "deviation_percent": row.deviation,
        "band_percent": row.band,
        "good": row.good,
        "fitted": row.fitted,
        "fixed_latency": row.fixed,
        "md1": row.md1,
    }
