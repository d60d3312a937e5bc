"""numasim validate: what a model says of experiments, beside what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from numasim.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numasim.calibration.calibrated import Compared
    from numasim.calibration.host_file import HostFile
    from numasim.cli.progress import Report


def validate(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="A model, shipped or a TOML file.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Measurements, or a host's name (default: the host of that name); two of `numasim measure --and`.",
        ),
    ] = None,
    published: Annotated[bool, typer.Option("--published", help="All shipped models with a published host.")] = False,
    change: options.Changes = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE.md", help="With --published: write the page, and its pictures."),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE.png|.svg|.pdf", help="Also draw each kind of experiment, measured and simulated."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Show each experiment measured and simulated, the deviation, its band, and a verdict.

    Beside them: what a fixed latency and an M/D/1 queue say that were fitted to the same data.

    Example: numasim validate icx-8360y-2s mlc.log
    """
    from numasim.calibration.calibrated import row_dict
    from numasim.cli.progress import leave_at_once, progress
    from numasim.results.json import text_of

    _check(model, inputs or [], published, output, plot)
    pairs = _published() if model is None else [(model, inputs or [model])]
    found: dict[str, list[Compared]] = {}
    notes: list[str] = []
    with progress() as told, leave_at_once() as begun:
        for number, (one, files) in enumerate(pairs):
            begun()
            told(one, number / len(pairs) if len(pairs) > 1 else -1.0)
            found[one], left = _rows(one, files, change or [], told if len(pairs) == 1 else None)
            notes += left
    if output is not None:
        _write(found, output)
    if plot is not None and model is not None:
        _plot(plot, model, inputs or [model], found[model])
    if json:
        print(
            text_of({"models": {one: [row_dict(row) for row in rows] for one, rows in found.items()}, "notes": notes})
        )
        return
    if published:
        _summary(found)
        return
    for one, rows in found.items():
        _show(one, rows)
    for note in notes:
        print(f"Note: {note}.")
    if plot is not None:
        print(f"{plot}: each kind of experiment, measured and simulated")


def _check(model: str | None, inputs: Sequence[str], published: bool, output: str | None, plot: str | None) -> None:
    """What does not go together is told before anything runs."""
    from numasim.calibration.plot import check_format
    from numasim.calibration.published import names as hosts
    from numasim.errors import UserError

    if output is not None and not published:
        raise UserError("--output without --published", "validate", "a page is of all shipped models")
    if published == (model is not None):
        raise UserError("both or neither of MODEL and --published", "validate", "one of the two")
    if model is not None and not inputs and model not in hosts():
        raise UserError("measured where?", model, "a file of measurements, or a host: " + ", ".join(hosts()))
    if plot is not None and published:
        raise UserError("--plot with --published", "validate", "one model; --output has the pictures of all")
    if plot is not None:
        check_format(plot)


def _plot(file: str, model: str, inputs: Sequence[str], rows: Sequence[Compared]) -> None:
    from pathlib import Path

    from numasim.calibration.calibrated import read
    from numasim.calibration.plot import draw

    curves = [measured.curve for measured in read(inputs)[0].values() if measured.curve and not _of_runs(rows)]
    title = f"{Path(model).stem} beside {', '.join(Path(name).name for name in inputs)}"
    draw(file, title, rows, curves[0] if curves else None)


def _of_runs(rows: Sequence[Compared]) -> bool:
    """Are these comparisons of a host's own file, run by run?"""
    from numasim.calibration.host_validate import HostRow

    return any(isinstance(row, HostRow) for row in rows)


def _write(compared: dict[str, list[Compared]], output: str) -> None:
    """The page, and its pictures in the folder beside it."""
    from pathlib import Path

    from numasim.calibration import document, judge
    from numasim.calibration.validate import Row
    from numasim.results.files import replacing

    found = {model: [row for row in rows if isinstance(row, Row)] for model, rows in compared.items()}
    folder, lefts = "pictures", judge.read()
    with replacing(output) as beside:
        beside.write_text(document.text(found, lefts, folder), encoding="utf-8")
    document.draw(Path(output).parent / folder, document.levels(found), lefts)


def _published() -> list[tuple[str, list[str]]]:
    """The shipped models of which there is a host of the same name."""
    from numasim.calibration.published import names as hosts
    from numasim.machine import names

    return [(name, [name]) for name in names() if name in hosts()]


def _rows(
    model: str, inputs: Sequence[str], change: Sequence[str], report: Report | None
) -> tuple[list[Compared], list[str]]:
    from numasim.calibration.calibrated import compared, read, start
    from numasim.cli.words import given, pairs

    given(model, "MODEL", "a model")
    files = [measured.file for measured in read(inputs)[0].values()]
    if len(files) == 2 and files[0] and files[1]:
        return _twice(model, files[0], files[1], pairs(change, "--set"), report)
    begun = start(inputs, "", model, None, pairs(change, "--set"))
    return compared(begun, report), begun.notes


def _twice(
    model: str, first: HostFile, second: HostFile, change: Mapping[str, str], report: Report | None
) -> tuple[list[Compared], list[str]]:
    """A host measured twice, in turn: what it does not repeat itself excuses the model, up to a point."""
    from numasim.calibration.host_validate import EXCUSED, rows, verdict
    from numasim.machine import load

    found = rows(load(model, change), first, second, report)
    told = verdict(found)
    notes = [f"{told.excused} rows are good only because both measurements differ by as much"]
    if not told.usable:
        notes.append(f"that is more than {100 * EXCUSED:g} %: the host was too unsteady, and the verdict is unusable")
    if told.programs == told.programs:
        notes.append(f"programs that no fit read: off by {told.programs:.1f} %, the median")
    return list(found), notes


def _show(model: str, found: Sequence[Compared]) -> None:
    from numasim.calibration.validate import Row, below_knee
    from numasim.cli.calibrate import rows

    points = [row for row in found if isinstance(row, Row) and row.name.startswith("loaded ")]
    rows([row for row in found if row not in points], model)
    whole = below_knee(points)
    if points and whole:
        print()
        rows(points, "Latency under load, below the knee", baselines=True)
        print(
            f"Error below 90 % of the peak: median {whole.median:.1f} % (band {whole.band_median:g} %), worst"
            f" {whole.worst:.1f} % (band {whole.band_worst:g} %): {'good' if whole.good else 'outside'}."
        )
        print(f"A fixed latency: median {whole.fixed:.1f} %; M/D/1: median {whole.md1:.1f} %.")
    judged = [row for row in found if row.band < 1e6]
    print(f"{sum(row.good for row in judged)} of {len(judged)} within their bands.")


def _summary(found: dict[str, list[Compared]]) -> None:
    """Worst deviation by model and quantity."""
    from numasim.results.figures import console, put, table

    quantities = list(dict.fromkeys(_quantity(row) for rows in found.values() for row in rows))
    short = {"bandwidth": "GB/s", "latency at the peak": "there"}  # all columns fit 80 characters
    made = table("Worst deviation, per cent", "model", *(short.get(q, q) for q in quantities), last="in band")
    for column in made.columns:
        column.no_wrap = True
    for model, rows in found.items():
        worst = []
        for quantity in quantities:
            of = [abs(row.deviation) for row in rows if _quantity(row) == quantity]
            worst.append(f"{max(of):.1f}" if of else "-")
        made.add_row(model, *worst, f"{sum(row.good for row in rows)}/{len(rows)}")
    put(made, console())


def _quantity(row: Compared) -> str:
    """The first word of an experiment's name; the curve's summary apart from its points."""
    word = row.name.split()[0]
    return row.name.removeprefix("loaded, ") if word == "loaded," else word
