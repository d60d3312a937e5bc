"""numasim trace record: run a program, keep what it did to memory."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated

import typer

from numasim.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numasim.traces.record import Recorded

Only = Annotated[
    str | None, typer.Option(metavar="STRETCH", help="Count only this named stretch, by its number or name.")
]
Names = Annotated[
    list[str] | None, typer.Option(metavar="NUMBER=NAME", help="Name a stretch of the markers; repeatable.")
]


def record(
    command: Annotated[list[str], typer.Argument(metavar="-- PROGRAM ARGUMENTS", help="What to run.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="The trace to write (Parquet).")],
    limit: Annotated[
        str | None, typer.Option(metavar="N", help="End the program after about N recorded loads and stores (1e8).")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", min=0.001, help="End the program after S seconds.")
    ] = None,
    only: Only = None,
    name: Names = None,
    json: options.Json = False,
) -> int:
    """Run a program under valgrind and record its memory accesses, at about a million instructions a second.

    Ctrl-C ends the program and keeps what was recorded. Example: numasim trace record -o t.parquet -- ./program args
    """
    import sys

    from numasim.cli.progress import progress
    from numasim.cli.words import given
    from numasim.traces import record as recording

    output = given(output, "--output", "a file name")
    accesses = None if limit is None else _count(limit)
    with progress() as report:

        def told(done: int, elapsed: float) -> None:
            report(f"{done / 1e6:,.1f} million accesses, {done / 1e6 / max(elapsed, 1e-9):.2f} million/s", -1)

        done = recording.record(
            command,
            output,
            limit_accesses=accesses,
            limit_s=seconds,
            only=only,
            names=stretch_names(name),
            progress=told,
        )
    if json:
        from numasim.results.json import text_of

        print(text_of({"output": output, **done._asdict(), "converted": done.converted._asdict()}))
    else:
        for line in _lines(output, done):
            print(line, file=sys.stderr)  # standard output is the program's
    return 128 + done.signal if done.signal else 0


def stretch_names(words: list[str] | None) -> dict[int, str]:
    """{3: "look-up"} of ["3=look-up"]. Raises UserError."""
    from numasim.cli.words import pairs
    from numasim.errors import UserError

    found = {}
    for number, name in pairs(words or (), "--name").items():
        if not number.isascii() or not number.isdigit() or not name:
            raise UserError(f"{number}={name} names no stretch", "--name", "NUMBER=NAME, such as 3=look-up")
        found[int(number)] = name
    return found


def _count(text: str) -> int:
    """The number in "1000000" or "1e6"."""
    from numasim.errors import UserError

    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 1 <= number < 2**63:
        raise UserError(f"no number of accesses: {text!r}", "--limit", "1 or more, such as 1e8")
    return int(number)


def _lines(output: str, done: Recorded) -> Iterator[str]:
    """What to say of a recording."""
    c = done.converted
    atomics = f", {c.atomics:,} atomics" if c.atomics else ""
    yield (
        f"{output}: {c.loads:,} loads, {c.stores:,} stores{atomics} and {c.instructions:,} instructions of {c.threads} "
        f"thread(s) in {done.seconds:.1f} s; {c.sites:,} call sites"
    )
    if not c.exact:
        yield "Which load needs which is not known: the code of too many instructions could not be read."
    if c.markers:
        left_out = c.dropped_before + c.dropped_after
        yield f"Cut by its markers: {left_out:,} lines outside the region of interest were left out."
    if c.threads > 1:
        yield (
            "valgrind ran the threads by turns, at moments of its own choice. At replay they run side by side, in the "
            "recorded order only where they synchronise."
        )
    if done.partial:
        why = f" by {signal.Signals(done.signal).name}" if done.signal else ""
        yield f"Stopped{why} before the program ended: the trace is partial."
    elif done.status:
        yield _ended(done.status)
    if done.became:
        yield f"The program turned into {done.became} by exec: that was not recorded."


def _ended(status: int) -> str:
    """How a program ended."""
    if status > 0:
        return f"The program's exit status was {status}."
    name = signal.Signals(-status).name
    more = ": perhaps it has instructions that valgrind does not know (AVX-512)" if name == "SIGILL" else ""
    return f"The program was ended by {name}{more}."
