"""What a reader returns, and how what was measured of one host, in several files, becomes a `published.Host`."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from numasim.calibration.fit import NOISE
from numasim.calibration.host_file import HostFile
from numasim.calibration.published import Cell, Curve, Floats, Host
from numasim.calibration.spec import Spec
from numasim.errors import UserError
from numasim.machine import Machine

ALL_SOCKETS = 0  # of a curve whose instrument loads the whole machine, however many sockets that has
SAME = 1.1  # times the own memory's latency, below which another socket's is not another's
ALIKE = 1.15  # times the least of the nodes, beyond which they are not alike
NO_LOAD = 0.05  # of a curve's peak: below it, latency is idle latency


class Measured(NamedTuple):
    """What a file holds.

    cells, curve: as in `published`. curve.sockets may be ALL_SOCKETS.
    environment: what was said about the run, and under "left out" what no cell holds. matrix [cpus, cpus]: ns one way
    between CPUs, NaN where not measured; its cells need a machine: `core_matrix.cells`. file: all experiments of this
    project's own file, with their repetitions. heads: of each quantity that is a matrix of nodes, how many columns it
    has, and the file and line of its head.
    """

    cells: list[Cell]
    curve: Curve | None
    environment: dict[str, str]
    matrix: Floats | None = None
    file: HostFile | None = None
    heads: Mapping[str, tuple[int, str]] = {}


class Together(NamedTuple):
    """A host, and sentences on what was read but is not in it."""

    host: Host
    notes: list[str]


def together(name: str, sheet: Spec, machine: Machine, files: Mapping[str, Measured]) -> Together:
    """What these files say of one machine. Where several measured the same, the first counts.

    Raises UserError if a file is of another machine: nodes, sockets or CPUs it lacks.
    """
    from numasim.calibration.readers import core_matrix

    cells: dict[object, Cell] = {}
    notes: list[str] = []
    curve: Curve | None = None
    for file, measured in files.items():
        found = list(measured.cells)
        if measured.matrix is not None:
            classes = core_matrix.cells(measured.matrix, machine, file)
            found += classes.cells
            notes.append(f"{file}: CPUs are taken to be numbered {classes.numbering}")
        for cell in found:
            check(cell, machine, measured.heads.get(cell.quantity, (0, file))[1])
        check_size(measured, machine, file)
        notes += _left(file, measured, found, cells, machine)
        for cell in found:
            if _fitted(cell) or _predicted(cell, machine):
                cells.setdefault(_key(cell), cell)
        if measured.curve and curve:
            notes.append(f"{file}: a second curve, left out")
        elif measured.curve:
            curve = _of_machine(measured.curve, machine, file)
    idle = any(cell.quantity == "idle" for cell in cells.values())
    if curve and not idle and curve.gbps[0] <= NO_LOAD * curve.peak_gbps:
        found_idle = Cell("idle", (0, 0), float(curve.ns[0]))
        cells[_key(found_idle)] = found_idle
        notes.append(f"{found_idle} is the curve's latency at {curve.gbps[0]:.3g} GB/s")
    fitted, also = ([cell for cell in cells.values() if _fitted(cell) == to_fit] for to_fit in (True, False))
    return Together(Host(name, sheet, fitted, curve, tuple(also)), notes + _doubts(fitted, machine))


def check_size(measured: Measured, machine: Machine, file: str) -> None:
    """Raise UserError for a matrix of fewer nodes than have CPUs, and a host of other nodes or more CPUs: each is of
    another machine than the model, or of another mode of it."""
    t = machine.topology
    for quantity in ("idle", "bandwidth"):
        columns, where = measured.heads.get(quantity, (t.cpu_nodes, ""))
        if columns < t.cpu_nodes:
            raise UserError(f"a matrix of {columns} node(s)", where, f"{t.cpu_nodes}, as {machine.name} has with CPUs")
    if measured.file:
        nodes, cpus = (len(measured.file.host.get(kind) or ()) for kind in ("nodes", "cpus"))
        if nodes and (nodes != t.nodes or cpus > t.cpus):
            expected = f"{t.nodes} and {t.cpus} at most, as {machine.name}"
            raise UserError(f"a host of {nodes} node(s) and {cpus} CPUs", file, expected)


def _doubts(cells: list[Cell], machine: Machine) -> list[str]:
    """What cells say that no model can show: memory dealt out over sockets, nodes that are not alike."""
    t, notes = machine.topology, []
    for quantity in ("idle", "bandwidth"):
        own: dict[bool, list[float]] = {True: [], False: []}
        for cell in (cell for cell in cells if cell.quantity == quantity):
            cpu, memory = (int(node) for node in cell.where)
            if cpu == memory:
                own[True].append(cell.value)
            elif memory < t.cpu_nodes and cpu // t.nodes_per_socket != memory // t.nodes_per_socket:
                own[False].append(cell.value)
        if own[True] and max(own[True]) > ALIKE * min(own[True]):
            low, high = f"{min(own[True]):.4g}", f"{max(own[True]):.4g}"
            notes.append(
                f"{quantity} of the nodes' own memories is from {low} to {high}: the nodes are not alike (other or"
                " fewer memory modules?), but a model's are: it shows their mean"
            )
        if quantity == "idle" and own[False] and np.median(own[False]) < SAME * np.median(own[True]):
            notes.append(
                f"other sockets' memory is no farther ({np.median(own[False]):.1f} ns) than the own one"
                f" ({np.median(own[True]):.1f} ns): it seems to be dealt out over sockets (node interleaving in the"
                " BIOS), and what is fitted to it is no NUMA machine"
            )
    return notes


def check(cell: Cell, machine: Machine, file: str) -> None:
    """Raise UserError if the cell names a node that the machine does not have, or has no CPUs where some measured."""
    t = machine.topology
    if cell.quantity == "stream" and int(cell.where[0]) > t.cpus:
        raise UserError(f"{cell.where[0]} threads", file, f"{t.cpus} at most, as {machine.name} has CPUs")
    if cell.quantity not in ("idle", "bandwidth") and (cell.quantity != "c2c" or cell.where[1] == ""):
        return
    cpu, memory = (int(node) for node in cell.where[-2:])
    if cpu >= t.cpu_nodes or memory >= (t.cpu_nodes if cell.quantity == "c2c" else t.nodes):
        has = f"{t.cpu_nodes} nodes with CPUs" + (f", {t.nodes - t.cpu_nodes} without" if t.nodes > t.cpu_nodes else "")
        raise UserError(f"has {cell}", file, f"a measurement of a machine with {has}, as the model")


def _key(cell: Cell) -> object:
    return cell.quantity, cell.where


def _fitted(cell: Cell) -> bool:
    """May a fit aim at it? Not at pairs of one core's threads: what is fitted lies beyond a core."""
    return cell.quantity in NOISE and cell.where[0] not in ("smt_sibling", "all_pairs")


def _predicted(cell: Cell, machine: Machine) -> bool:
    """Is there a twin of what no fit aims at?"""
    siblings = cell.where == ("smt_sibling",) and machine.topology.threads_per_core > 1
    return cell.quantity in ("stream", "triad") or siblings


def _of_machine(curve: Curve, machine: Machine, file: str) -> Curve:
    sockets = machine.topology.sockets
    if curve.sockets > sockets:
        raise UserError(f"a curve of {curve.sockets} sockets", file, f"of {machine.name}: {sockets} at most")
    return curve._replace(sockets=curve.sockets or sockets)


# what the twins of cells that no fit aims at suppose, as notes say it
_SUPPOSED = {
    "stream": "bandwidth by cores (taken to be the first ones, each with memory of its own node)",
    "triad": "STREAM's triad (its twin writes through the caches, and moves as many lines)",
    "pairs": "threads of one core",
}


def _words(cells: list[Cell]) -> str:
    return ", ".join(dict.fromkeys(_SUPPOSED.get(cell.quantity, cell.quantity) for cell in cells))


def _left(
    file: str, measured: Measured, found: list[Cell], known: Mapping[object, Cell], machine: Machine
) -> list[str]:
    said = measured.environment
    notes = [f"{file}: {key}: {said[key]}" for key in ("left out", "disturbed", "runs", "prefetchers") if key in said]
    if said.get("virtual", "no") != "no":
        notes.append(f"{file}: a virtual machine ({said['virtual']}), {said.get('stolen', '?')} of its time stolen")
    predicted, unused = (
        [cell for cell in found if not _fitted(cell) and _predicted(cell, machine) == twin] for twin in (True, False)
    )
    if predicted:
        notes.append(f"{file}: {_words(predicted)}: compared, never fitted to")
    if unused:
        notes.append(f"{file}: {_words(unused)}: read, and not used, as the model has no twin of it")
    twice = [cell for cell in found if _key(cell) in known]
    if twice:
        notes.append(f"{file}: {len(twice)} values measured in an earlier file, which counts ({twice[0]} is the first)")
    return notes
