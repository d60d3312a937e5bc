"""numasim calibrate: fit a machine model to measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from numasim.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numasim.calibration.calibrated import Compared, Done, Start

NOT_CONVERGED = 3
SHOWN = 20  # residuals, the worst first
_SHORT = {
    "remote_HITM_homed_in_": "HITM, ",
    "local_L2_to_L2_": "local ",
    "latency at the peak": "at the peak",
    " within=all": "",
    " from=-1": "",
}


def calibrate(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Of `numasim measure`, an MLC log, a core matrix, curves, a sweep."),
    ],
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE.toml", help="The fitted model to write.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model to fit: what is not measured stays as it is.")
    ] = None,
    spec: Annotated[
        str | None, typer.Option(metavar="SPEC.toml", help="Or a specification sheet; relatives give the rest.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The model's name (default: the file's).")] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(metavar="N", min=10, help="Fit N times more, to draws of the measurements: joint uncertainty."),
    ] = None,
    change: options.Changes = None,
    json: options.Json = False,
) -> int:
    """Fit a machine model to measurements of a real machine, and say how far to trust it.

    Exit code 3: the fit has not converged, or cannot say how well it knows a value; the model is written all the same.

    Example: numasim calibrate mlc.log --spec server.toml -o server-fitted.toml
    """
    from pathlib import Path

    from numasim.calibration import calibrated
    from numasim.cli.progress import leave_at_once, progress
    from numasim.cli.words import given, pairs

    _check_output(output, json)
    stem = Path(output).stem if output else ""
    for option, word in {"--base": base, "--spec": spec, "--name": name}.items():
        if word is not None:
            given(word, option, "a name or a file")
    start = calibrated.start(inputs, name or stem, base, spec, pairs(change or [], "--set"))
    with progress() as told, leave_at_once() as begun:

        def report(what: str, done: float) -> None:
            begun()
            told(what, done)

        done = calibrated.calibrate(start, report, bootstrap or 0)
    if output is not None:
        calibrated.write(calibrated.text(done, inputs), output)
    if json:
        from numasim.results.json import text_of

        print(text_of({"output": output, **calibrated.as_dict(start, done)}))
    else:
        _show(start, done, output, bootstrap or 0)
    return _verdict(done)


def _check_output(output: str | None, json: bool) -> None:
    from numasim.errors import UserError
    from numasim.results.json import check_writable

    if output is None:
        if not json:
            raise UserError("nowhere to write to", "calibrate", "-o FILE.toml, or --json")
        return
    if not output.endswith(".toml"):
        raise UserError(f"{output!r} is no name of a model's file", "--output", "a name that ends in .toml")
    check_writable(output)


def _verdict(done: Done) -> int:
    """What is to be doubted, a line each, and the exit code."""
    import sys

    for line in done.doubts:
        print(f"numasim: {line}", file=sys.stderr)
    if not done.unconverged:
        return 0
    print(f"numasim: not converged: {done.unconverged}; do not rely on what hangs on it", file=sys.stderr)
    return NOT_CONVERGED


def _show(start: Start, done: Done, output: str | None, refits: int) -> None:
    from numasim.calibration.calibrated import fixed_by
    from numasim.calibration.values import value_of
    from numasim.results.figures import console, put, table

    out, found = console(), done.fitted
    title = f"{output}: {found.machine.name}, fitted"
    made = table(title, "value", "fitted", "std. error", "before", last="fixed by")
    for knob in found.knobs:
        error = found.errors.get(knob.key)
        value = value_of(found.machine, knob.key)
        made.add_row(
            knob.key, f"{value:.4g}", f"{error:.2g}" if error else "none", f"{done.prior[knob.key]:.4g}", fixed_by(knob)
        )
    put(made, out)
    print(f"Not determined by the data: {', '.join(found.undetermined) or 'none'}.")
    print(f"At a bound: {', '.join(found.at_bound) or 'none'}.")
    print(
        f"{len(found.knobs)} free values; {found.independent} independent measurements"
        f" ({found.cells} values with their mirrors)."
    )
    more = f", with {refits} refits" if refits else ""
    print(f"{found.evaluations} simulated experiments; {done.seconds:.0f} s in all{more}.")
    rows(done.rows[:SHOWN], "Residuals, the worst first")
    rest = done.rows[SHOWN:]
    if rest:
        print(f"{len(rest)} more, within {max(abs(row.deviation) for row in rest):.1f} %; --json has all.")
    judged = [row for row in done.rows if row.band < 1e6]
    print(f"{sum(row.good for row in judged)} of {len(judged)} experiments within their bands.")
    for note in [*start.notes, *done.notes]:
        print(f"Note: {note}.")


def rows(shown: Sequence[Compared], title: str, baselines: bool = False) -> None:
    """A table of experiments, measured and simulated."""
    from numasim.results.figures import console, put, table

    heads = ["measured", "simulated", "deviation", *(["fixed", "M/D/1"] if baselines else ["band"]), "verdict"]
    made = table(title, "experiment", *heads, last="" if baselines else "used")
    for row in shown:
        figures = [f"{value:.1f} {row.unit}" for value in (row.expected, row.simulated)]
        rest = [_percent(value, row.expected) for value in (row.fixed, row.md1)] if baselines else [_band(row.band)]
        used = [] if baselines else ["to fit" if row.fitted else ""]
        verdict = "" if row.band > 1e6 else "good" if row.good else "outside"
        made.add_row(_short(row.name), *figures, f"{row.deviation:+.1f} %", *rest, verdict, *used)
    put(made, console())


def _short(name: str) -> str:
    """A name that leaves room for the figures in 80 columns."""
    for long, short in _SHORT.items():
        name = name.replace(long, short)
    return name


def _band(band: float) -> str:
    """A band in per cent; - where none applies."""
    return f"{band:.1f} %" if band < 1e6 else "-"


def _percent(value: float, expected: float) -> str:
    """What a baseline is off by; - where it says nothing."""
    return "-" if value != value or not expected else f"{100 * (value / expected - 1):+.1f} %"
