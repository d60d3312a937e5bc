"""numasim show: a machine as numactl, MLC and its own model describe it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from numasim.cli import options
from numasim.errors import UserError

if TYPE_CHECKING:
    from numasim.machine import Machine

Matrix = list[list[float]]


def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name of `numasim list models`, or a file.")],
    change: options.Changes = None,
    simulate: Annotated[bool, typer.Option(help="Simulate the latency and bandwidth matrices.")] = True,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE.svg|.png|.pdf", help="Draw the topology into this file, and no more.")
    ] = None,
    intervals: options.Intervals = None,
    json: options.Json = False,
) -> None:
    """Show a machine: nodes and distances, simulated latency and bandwidth matrices, caches, TLBs, links, memory."""
    from numasim.cli.words import pairs
    from numasim.machine import load

    machine = load(model, set=pairs(change or (), "--set"))
    if plot is not None:
        _plot(machine, plot, json)
        return
    if intervals is not None and not simulate:
        raise UserError("--intervals with --no-simulate", "show", "matrices to say something of")
    matrices = _matrices(machine) if simulate else {}
    spans = _spans(machine, intervals) if intervals is not None else {}
    if json:
        from numasim.results.json import text_of

        told = {f"{name}_interval": rows for name, rows in spans.items()}
        print(text_of(_as_dict(machine, {**matrices, **told})))
    else:
        _print(machine, matrices, spans)


def _plot(machine: Machine, file: str, json: bool) -> None:
    from numasim.cli.words import given
    from numasim.machine.plot import draw

    draw(machine, given(file, "--plot", "a file name"))
    if json:
        from numasim.results.json import text_of

        print(text_of({"name": machine.name, "plot": file}))
    else:
        print(f"{file}: the topology of {machine.title()}")


def _matrices(machine: Machine) -> dict[str, Matrix]:
    from numasim.cli.progress import progress
    from numasim.study.matrix import bandwidth_matrix, latency_matrix

    with progress() as report:
        report("simulating idle latencies", -1)
        latency = _plain(latency_matrix(machine))
        report("simulating bandwidths", -1)
        return {"latency_ns": latency, "bandwidth_gbps": _plain(bandwidth_matrix(machine))}


def _spans(machine: Machine, count: int) -> dict[str, list[list[list[float]]]]:
    from numasim.calibration.predictive import matrix_intervals
    from numasim.cli.progress import progress

    with progress() as report:
        return matrix_intervals(machine, count, report)


def _plain(matrix: Any) -> Matrix:
    return [[float(value) for value in row] for row in matrix]


def _as_dict(machine: Machine, matrices: Mapping[str, object]) -> dict[str, object]:
    topology = machine.topology
    nodes = [
        {
            "node": node,
            "cpus": list(topology.node_cpus(node)),
            "size_bytes": machine.node_memory[node].size_bytes,
            "distances": [topology.distance(node, other) for other in range(topology.nodes)],
        }
        for node in range(topology.nodes)
    ]
    about = {"name": machine.name, "description": machine.description}
    return {**about, "nodes": nodes, **matrices, "parameters": machine.expanded()}


def _print(machine: Machine, matrices: dict[str, Matrix], spans: dict[str, list[list[list[float]]]]) -> None:
    from rich.text import Text

    from numasim.machine.text import describe, numactl_hardware
    from numasim.results.figures import console, put, table

    out = console()
    out.print(Text(machine.title(), style="bold"))
    out.print(Text(machine.description))
    out.print()
    print(numactl_hardware(machine), flush=True)  # as it is: numactl does not wrap its lines either
    titles = {
        "latency_ns": "Idle latency, ns (simulated): a row a node of cores, a column a memory",
        "bandwidth_gbps": "Read bandwidth, GB/s, of all cores of a node (simulated)",
    }
    for name, matrix in matrices.items():
        found = table(
            titles[name] + (", and where 90 % lie" if spans else ""),
            "node",
            *(str(node) for node in range(len(matrix[0]))),
        )
        for node, row in enumerate(matrix):
            ends = spans[name][node] if spans else [None] * len(row)
            found.add_row(str(node), *(_number(*both) for both in zip(row, ends, strict=True)))
        out.print()
        put(found, out)
    for title, rows in [*describe(machine), ("where the values come from", _known(machine))]:
        found = table(title[:1].upper() + title[1:], "", last=" ")
        found.show_header = False
        for what, value in rows:
            found.add_row(what, value)
        out.print()
        put(found, out)


def _known(machine: Machine) -> list[tuple[str, str]]:
    """How values are known, and which: what is as in another model apart from other assumptions."""
    tables: dict[str, list[str]] = {}
    groups: dict[str, dict[str, list[str]]] = {}
    for key in machine.values():
        table, _, name = key.rpartition(".")
        kind, _, text = machine.source(key).partition(": ")
        model = text.removeprefix("as ").partition(",")[0] if text.startswith("as ") else ""
        kind = f"{kind}, as {model}" if kind == "assumed" and model and " " not in model else kind or "not told"
        tables.setdefault(table, []).append(name)
        groups.setdefault(kind, {}).setdefault(table, []).append(name)

    def words(found: dict[str, list[str]]) -> str:
        parts = []
        for table, names in found.items():
            rest = [name for name in tables[table] if name not in names]
            some = f" ({', '.join(names)})" if len(names) <= len(rest) else f" (without {', '.join(rest)})"
            parts.append(table + (some if rest else ""))
        return ", ".join(parts)

    order = sorted(groups, key=lambda kind: ["specified", "fitted", "set", kind].index(kind))
    return [(kind, f"{sum(map(len, groups[kind].values()))}: {words(groups[kind])}") for kind in order]


def _number(value: float, ends: list[float] | None) -> str:
    if value != value:
        return "-"
    return f"{value:.1f}" if ends is None else f"{value:.1f} ({ends[0]:.0f} to {ends[1]:.0f})"
