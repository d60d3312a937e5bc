"""numasim run: simulate a workload on a machine, or a scenario file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from numasim.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numasim.cli.progress import Report
    from numasim.machine import Machine
    from numasim.results.result import Result
    from numasim.study.scenario import Scenario

INTERRUPTED = 130
MODEL = "A machine (a name of `numasim list models`, or a file), or a scenario."
WORKLOAD = "A workload of `numasim list workloads`, and its keys; threads=, accesses=, laps= and arrivals= suit all."
_OWN = ("machine", "workload", "progress", "timeline")  # what run() calls things that are no key


def run(
    model: Annotated[str, typer.Argument(metavar="MODEL|SCENARIO.toml", help=MODEL)],
    rest: Annotated[list[str] | None, typer.Argument(metavar="WORKLOAD KEY=VALUE", help=WORKLOAD)] = None,
    cpunodebind: options.Cpunodebind = None,
    physcpubind: options.Physcpubind = None,
    membind: options.Membind = None,
    interleave: options.Interleave = None,
    weighted_interleave: options.WeightedInterleave = None,
    preferred: options.Preferred = None,
    localalloc: options.Localalloc = False,
    pages: options.Pages = None,
    page_tables: options.PageTables = None,
    change: options.Changes = None,
    seed: options.Seed = None,
    scheduler: options.Scheduler = None,
    json: options.Json = False,
    output: options.Output = None,
) -> int:
    """Simulate a program on a machine: how long its memory accesses take, and why.

    Example: numasim run icx-8360y-2s list length=1000000 order=shuffled -N 0 -m 1
    """
    from numasim.cli.progress import leave_at_once, progress
    from numasim.cli.words import pairs
    from numasim.results import json as stored
    from numasim.results.figures import console
    from numasim.results.table import show

    if output is not None:
        stored.check_writable(output)
    changes = pairs(change or (), "--set")
    general = given(seed=seed, scheduler=scheduler)
    placement = given(
        cpunodebind=cpunodebind,
        physcpubind=physcpubind,
        membind=membind,
        interleave=interleave,
        weighted_interleave=weighted_interleave,
        preferred=preferred,
        localalloc=localalloc or None,
        pages=pages,
        page_tables=page_tables,
    )
    with progress() as told, leave_at_once() as begun:

        def report(what: str, done: float) -> None:
            begun()
            told(what, done)

        if rest:
            result = _workload(model, rest, changes, general | placement, report)
        else:
            result = _scenario(model, changes, general, placement, report)
    if output is not None:
        stored.write(result, output)
    if json:
        print(stored.dumps(result), end="")
    else:
        show(result, console())
    return INTERRUPTED if result.partial else 0


def given(**options: object) -> dict[str, object]:
    """Only the options that were given: the others have their defaults where they are used."""
    return {name: value for name, value in options.items() if value is not None}


def _workload(
    model: str, rest: Sequence[str], changes: Mapping[str, str], options: Mapping[str, object], report: Report
) -> Result:
    from numasim.study.run import run as simulate

    machine, workload, words = of_workload(model, rest, changes, options, "run")
    return simulate(machine, workload, progress=report, **words)


def of_workload(
    model: str, rest: Sequence[str], changes: Mapping[str, str], options: Mapping[str, object], verb: str
) -> tuple[Machine, str, dict[str, Any]]:
    """The machine, the workload's name, and its keys and options, of a command line. Raises UserError."""
    from numasim.cli.words import pairs
    from numasim.errors import UserError
    from numasim.machine import load

    workload, *words = rest
    if "=" in workload:
        raise UserError(f"no workload before {workload!r}", verb, "MODEL WORKLOAD KEY=VALUE ...")
    keys = pairs(words, workload)
    for key in keys:
        if key in options:
            raise UserError(f"{key} is given as key and as option", workload, "one of them")
        if key in _OWN:
            raise UserError(f"unknown key {key!r}", workload, "a key of the workload")
    return load(model, set=changes), workload, keys | dict(options)


def _scenario(
    path: str,
    changes: Mapping[str, str],
    general: Mapping[str, object],
    placement: Mapping[str, object],
    report: Report,
) -> Result:
    from numasim.study.run import run_scenario

    return run_scenario(of_scenario(path, changes, general, placement, "run"), progress=report)


def of_scenario(
    path: str, changes: Mapping[str, str], general: Mapping[str, object], placement: Mapping[str, object], verb: str
) -> Scenario:
    """The scenario of a file, with what the command line changes in it. Raises UserError."""
    from numasim.errors import UserError
    from numasim.study import scenario

    if not path.endswith(".toml"):
        raise UserError("no workload", f"{verb} {path}", "MODEL WORKLOAD KEY=VALUE ..., or SCENARIO.toml")
    if placement:
        option = "--" + next(iter(placement)).replace("_", "-")
        raise UserError(f"{option} beside a scenario", path, "placement and pages in the file")
    overrides: dict[str, Any] = dict(general) | ({"set": changes} if changes else {})
    return scenario.load(path, **overrides)
