"""numasim list: the machines and workloads there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from numasim.cli import options

if TYPE_CHECKING:
    from rich.table import Table


def list_(
    what: Annotated[str, typer.Argument(metavar="models|workloads", help="What to list.")],
    name: Annotated[str, typer.Argument(metavar="WORKLOAD", help="Only this workload, with what its keys mean.")] = "",
    json: options.Json = False,
) -> None:
    """List the machine models or the workloads; `numasim list workloads NAME` explains a workload's keys."""
    from numasim.errors import UserError
    from numasim.results.figures import console, put
    from numasim.results.json import text_of

    if what not in ("models", "workloads") or (name and what == "models"):
        raise UserError(f"cannot list {' '.join([what, name]).strip()!r}", "list", "models, workloads, workloads NAME")
    values = _models() if what == "models" else _workloads(name)
    if json:
        print(text_of(values[0] if name else values))
    else:
        put(_keys(values[0]) if name else _lines(what[:-1], values), console())


def _models() -> list[dict[str, object]]:
    from numasim.machine import load, names

    return [{"name": name, "description": load(name).description} for name in names()]


def _workloads(only: str) -> list[dict[str, object]]:
    from numasim.workloads.base import describe, names

    found = [describe(name) for name in ([only] if only else names())]
    return [
        {
            "name": one.name,
            "description": one.doc,
            "threads": one.default_threads,
            "keys": {key.name: {"default": key.default, "unit": key.unit, "description": key.doc} for key in one.keys},
        }
        for one in found
    ]


def _lines(what: str, values: list[dict[str, object]]) -> Table:
    from numasim.results.figures import table

    made = table("", what, last="what it is")
    made.title = None
    for value in values:
        text, keys = str(value["description"]), value.get("keys")
        if isinstance(keys, dict):
            text += "\n" + " ".join(f"{key}=" for key in keys)
        made.add_row(str(value["name"]), text)
    return made


def _keys(value: dict[str, object]) -> Table:
    from numasim.results.figures import table

    made = table(f"{value['name']}: {value['description']}", "key", last="what it is")
    keys = value["keys"]
    assert isinstance(keys, dict)
    for name, key in keys.items():
        unit = f", {key['unit']}" if key["unit"] and key["unit"] not in key["description"] else ""
        made.add_row(f"{name}={key['default']}", f"{key['description']}{unit}")
    return made
