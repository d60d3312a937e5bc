"""numasim machine: models of real computers, from the system's own files or from hwloc."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from numasim.cli import options

if TYPE_CHECKING:
    from numasim.calibration.neighbours import Neighboured
    from numasim.machine.detect import Detected
    from numasim.machine.detect_host import Host

app = typer.Typer(help="Make models of real computers.")

_Output = Annotated[
    str | None,
    typer.Option("-o", "--output", metavar="FILE.toml", help="The model to write (default: standard output)."),
]
_Base = Annotated[
    str | None, typer.Option(metavar="MODEL", help="Take what is not told from this model (default: the nearest one).")
]


@app.callback()
def _verbs() -> None:
    """Make models of real computers."""


@app.command()
def detect(
    output: _Output = None,
    base: _Base = None,
    root: Annotated[
        str, typer.Option(metavar="DIR", help="Read a copy of another computer's /sys and /proc below this folder.")
    ] = "/",
    json: options.Json = False,
) -> None:
    """Make a model of this computer from /sys and /proc; what they do not tell is as in the nearest shipped model."""
    from pathlib import Path

    from numasim.cli.words import given
    from numasim.machine.sysfs import read

    _make(read(Path(given(root, "--root", "a folder"))), output, base, json)


@app.command("import")
def import_(
    topology: Annotated[str, typer.Argument(metavar="TOPOLOGY.xml", help="What `lstopo topology.xml` has written.")],
    output: _Output = None,
    base: _Base = None,
    json: options.Json = False,
) -> None:
    """Make a model from hwloc's XML; what it does not tell is as in the nearest shipped model."""
    from pathlib import Path

    from numasim.cli.words import given
    from numasim.machine.hwloc import read

    _make(read(Path(given(topology, "TOPOLOGY.xml", "a file"))), output, base, json)


@app.command("from-spec")
def from_spec(
    sheet: Annotated[
        str, typer.Argument(metavar="SPEC.toml", help="A specification sheet; docs/calibration.md has its keys.")
    ],
    output: _Output = None,
    json: options.Json = False,
) -> None:
    """Make a model from a specification sheet; what only measurements give is as in the nearest measured relatives."""
    from pathlib import Path

    from numasim.calibration import neighbours, spec, written
    from numasim.cli.words import given
    from numasim.results.files import replacing

    made = neighbours.from_spec(spec.load(given(sheet, "SPEC.toml", "a file")))
    head = f"{made.machine.description or made.machine.name}: from its specification sheet, never measured."
    text = written.text(made.machine, head)
    if output is not None:
        with replacing(Path(output)) as beside:
            beside.write_text(text, encoding="utf-8")
    if json:
        from numasim.results.json import text_of as json_of

        told = {key: origin._asdict() for key, origin in made.origins.items()}
        print(json_of({"output": output, "origins": told, "open": made.open, "parameters": made.machine.expanded()}))
    elif output is None:
        print(text, end="")
    else:
        _tell_origins(made, output)


def _tell_origins(made: Neighboured, output: str) -> None:
    from rich.table import Table

    from numasim.results.figures import console

    table = Table(title=f"{output}: {made.machine.name}, what its sheet cannot say", title_justify="left")
    for name in ("value", "is", "+-", "taken from"):
        table.add_column(name, justify="right" if name in ("is", "+-") else "left")
    now = made.machine.values()
    for key, origin in made.origins.items():
        far = " (extrapolated: none is of the family)" if origin.extrapolated else ""
        table.add_row(key, f"{now[key]:g}", f"{100 * origin.spread:.0f} %", ", ".join(origin.relatives) + far)
    console().print(table)
    for key, values in made.open.items():
        print(f"Not stated: {key}. The model has the middle one of {', '.join(f'{value:g}' for value in values)}.")


def _make(host: Host, output: str | None, base: str | None, json: bool) -> None:
    from pathlib import Path

    from numasim.errors import UserError
    from numasim.machine.detect import model_of, text_of, write

    path = Path(output) if output is not None else None
    if path and path.suffix != ".toml":
        raise UserError(f"{output!r} is no name of a model's file", "--output", "a name that ends in .toml")
    found = model_of(host, path.stem if path else "detected", base)
    if path:
        write(found, path)
    if json:
        from numasim.results.json import text_of as json_of

        print(json_of({"output": output, **_as_dict(found)}))
    elif path:
        _tell(found, output or "")
    else:
        print(text_of(found), end="")


def _as_dict(found: Detected) -> dict[str, object]:
    return {
        "description": found.machine.description,
        "base": found.base,
        "distance": found.distance,
        "why": found.why,
        "notes": list(found.notes),
        "specified": found.keys("specified"),
        "assumed": found.keys("assumed"),
        "parameters": found.machine.expanded(),
    }


def _tell(found: Detected, output: str) -> None:
    from numasim.machine.detect import summary

    print(f"{output}: {summary(found)}")
    print(
        f"{len(found.keys('specified'))} values are told; {len(found.keys('assumed'))} are assumed as in {found.base}:"
    )
    print(f"{found.why}.")
    for note in found.notes:
        print(f"Note: {note}.")
