"""numasim trace placement: where a process's memory lies, as rules of a scenario."""

from typing import Annotated

import typer

from numasim.cli import options


def placement(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="/proc/PID/numa_maps, or output of numastat -p PID; - for standard input."),
    ],
    trace: Annotated[
        str | None, typer.Option(metavar="FILE", help="Rules for the regions that this trace has.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Print the rules (TOML) that place a scenario's regions as those of a running process lie."""
    from numasim.cli.words import given
    from numasim.errors import UserError
    from numasim.traces.placement import NAMES, place, region_names, toml
    from numasim.traces.readers import numa_maps

    file = given(file, "FILE", "a file, or -")
    areas = numa_maps.read(file)
    names = region_names(given(trace, "--trace", "a trace")) if trace is not None else NAMES
    placed = place(areas, names)
    if not placed:
        raise UserError("none of the regions " + ", ".join(names), file, "memory that the trace has a region for")
    if json:
        from numasim.results.json import text_of

        regions = [
            {"name": one.name, "bytes": one.bytes, "nodes": one.nodes, "policy": one.policy[0], "to": one.policy[1]}
            for one in placed
        ]
        print(text_of({"regions": regions, "areas": [area._asdict() for area in areas]}))
        return
    print(toml(placed), end="")
