"""numasim diff: what changed between two runs, in every percentile and in which cause."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from numasim.cli import options

if TYPE_CHECKING:
    from numasim.results.result import Result

_WHAT = "A result of `numasim run` (-o or --json), - for standard input; or a scenario (.toml), which is run."


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=_WHAT)],
    b: Annotated[str, typer.Argument(metavar="B", help="The same, after the change.")],
    json: options.Json = False,
) -> None:
    """Say what changed from A to B: in the mean and every percentile, and in which causes.

    Example: numasim diff local.json remote.json
    """
    from numasim.cli.words import given
    from numasim.errors import UserError
    from numasim.results import diff as written
    from numasim.results import json as stored
    from numasim.results.figures import console

    a, b = (given(word, name, "a result or a scenario") for word, name in ((a, "A"), (b, "B")))
    if a == b == "-":
        raise UserError("both are standard input", "diff", "- once")
    one, other = _result(a), _result(b)
    if json:
        print(stored.text_of(written.to_dict(one, other, a, b)))
    else:
        written.show(one, other, a, b, console())


def _result(word: str) -> Result:
    """A stored result, or that of a scenario run now. Of a run that was interrupted nothing is compared."""
    from numasim.results import json as stored

    if word == "-":
        return stored.loads(sys.stdin.buffer.read(), "standard input")
    if not word.endswith(".toml"):
        return stored.read(word)
    from numasim.cli.progress import leave_at_once, progress
    from numasim.study import scenario
    from numasim.study.run import run_scenario

    with progress() as told, leave_at_once() as begun:

        def report(what: str, done: float) -> None:
            begun()
            told(f"{word}: {what}", done)

        result = run_scenario(scenario.load(word), progress=report)
    if result.partial:
        raise KeyboardInterrupt
    return result
