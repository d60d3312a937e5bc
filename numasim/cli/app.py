"""`numasim`: the verbs together, and what becomes of errors.

Exit codes: 0 done; 2 a mistake of the user's, told in one line; 130 interrupted; 141 nobody read the output.
A traceback is always a bug.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn, cast

import typer

from numasim.cli import calibrate, diff, explain, machine, measure, report, run, show, trace, validate
from numasim.cli import list as list_verb
from numasim.errors import UserError

MISTAKE, INTERRUPTED, UNREAD = 2, 130, 141

_UsageError = cast(type[Exception], typer.BadParameter.__mro__[1])  # base of all of typer's own complaints

app = typer.Typer(
    name="numasim",
    help="Simulate the memory of NUMA machines: latencies, their tails, and what they are made of.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list")(list_verb.list_)
app.command("show")(show.show)
app.command("run")(run.run)
app.command("report")(report.report)
app.command("diff")(diff.diff)
app.command("explain")(explain.explain)
app.command("measure")(measure.measure)
app.command("calibrate")(calibrate.calibrate)
app.command("validate")(validate.validate)
app.add_typer(machine.app, name="machine")
app.add_typer(trace.app, name="trace")


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        from importlib import metadata

        try:
            print(f"numasim {metadata.version('numasim')}")
        except metadata.PackageNotFoundError:
            print("numasim (not installed: run from its sources)")
        raise typer.Exit


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command line (sys.argv without its first if None) and exit with its code."""
    sys.exit(_code(list(sys.argv[1:] if args is None else args)))


def _code(args: list[str]) -> int:
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character shows ? in its place
            stream.reconfigure(errors="replace")
    try:
        code = _answer(args or ["--help"])
    except (BrokenPipeError, SystemExit):  # SystemExit: rich's word for it, in the help that typer prints
        _drop_output()
        return UNREAD
    return code


def _answer(args: list[str]) -> int:
    try:
        found = app(args, prog_name="numasim", standalone_mode=False)
        code = found if isinstance(found, int) else 0
        sys.stdout.flush()  # what cannot be written is told here, not by Python when it ends
    except UserError as error:
        return _complain(str(error), MISTAKE)
    except _UsageError as error:
        text = error.format_message() if hasattr(error, "format_message") else str(error)
        stop = "" if text.endswith(("?", ".")) else "."
        return _complain(f"{text}{stop} Try 'numasim --help'.", MISTAKE)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except MemoryError:
        return _complain("not enough memory on this computer for a simulation of that size", MISTAKE)
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:  # no file was opened: it is what is printed that cannot be written
            _drop_output()
        return _complain(f"{error.filename or 'standard output'}: {error.strerror or error}", MISTAKE)
    return _complain("interrupted", INTERRUPTED) if code == INTERRUPTED else code


def _complain(text: str, code: int) -> int:
    print("numasim:", " ".join(text.split()), file=sys.stderr)
    return code


def _open_what_is_closed() -> None:
    """Started without a standard stream (`>&-`), Python has none; what goes there then goes nowhere."""
    nowhere = os.devnull
    sys.stdout = sys.stdout or open(nowhere, "w")  # noqa: SIM115 it stays open
    sys.stderr = sys.stderr or open(nowhere, "w")  # noqa: SIM115 it stays open


def _drop_output() -> None:
    """Nobody reads: let what is still buffered go nowhere, so that Python does not complain about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
