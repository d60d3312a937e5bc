"""Measurements of a host as data: cells of matrices and classes, and a loaded-latency curve, from its folder.

A host is a folder such as `calibration/hosts/clx-6240-2s`: `spec.toml`, `SOURCE.md` and some of the files below.
"""

import csv
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.assets import shipped
from numasim.calibration import spec as sheets
from numasim.calibration.spec import Spec
from numasim.errors import UserError

Floats = npt.NDArray[np.float64]
DELAY = "inject_delay_cycles"


class Cell(NamedTuple):
    """One measured number.

    quantity: "idle" (ns; where: node of the CPU, of the memory), "bandwidth" (GB/s; nodes as before), "c2c" (ns; kind,
    node of the writer, of the reader), "pairs" (ns one way; class of pair), "peak" (GB/s; reads, writes), "chase" (ns
    of a random chase through local memory; MiB). Of logs alone, predicted but never fitted to: "stream" (GB/s; cores
    that read), "triad" (GB/s; reads, writes), "pairs" of a core's threads.
    """

    quantity: str
    where: tuple[str | int, ...]
    value: float

    def __str__(self) -> str:
        return " ".join([self.quantity, *map(str, self.where)])


class Curve(NamedTuple):
    """Latency under load: rising bandwidth in GB/s of `sockets` sockets, and ns. ended: does it go to full load?
    threads: of a core that load, the one that chases among them.  delays: what each level was set to, in the
    instrument's unit (None: not told)."""

    gbps: Floats
    ns: Floats
    sockets: int
    ended: bool = True
    threads: int = 1
    delays: Floats | None = None

    def below(self, share: float) -> "Curve":
        """Its levels up to a share of the peak, which is no longer told."""
        low = self.gbps <= share * self.peak_gbps
        delays = None if self.delays is None else self.delays[low]
        return self._replace(gbps=self.gbps[low], ns=self.ns[low], ended=False, delays=delays)

    @property
    def peak_gbps(self) -> float:
        """The highest bandwidth."""
        return float(self.gbps.max())

    @property
    def full_ns(self) -> float:
        """ns under full load: of the level with the least delay, or if none is told with the highest bandwidth."""
        return float(self.ns[-1] if self.delays is None else self.ns[np.argmin(self.delays)])


class Host(NamedTuple):
    """What is known of a host: its sheet, its cells, its curve (None: not measured). also: cells that a comparison has,
    and no fit."""

    name: str
    sheet: Spec
    cells: list[Cell]
    curve: Curve | None
    also: tuple[Cell, ...] = ()

    def of(self, quantity: str) -> list[Cell]:
        """The cells of a quantity."""
        return [cell for cell in self.cells if cell.quantity == quantity]


def names() -> list[str]:
    """Hosts that are shipped, such as "clx-6240-2s"."""
    return sorted(path.parent.name for path in shipped("calibration/hosts").glob("*/spec.toml"))


def load(name_or_folder: str | Path) -> Host:
    """A host by name, or from a folder of the same form. Raises UserError."""
    text = str(name_or_folder)
    folder = Path(text) if isinstance(name_or_folder, Path) or "/" in text else shipped("calibration/hosts") / text
    if not (folder / "spec.toml").is_file():
        raise UserError(f"no host {text!r}", "host", "one of " + ", ".join(names()))
    sheet = sheets.load(folder / "spec.toml")
    cells = [
        *_nodes(folder / "idle_latency.csv", "idle", "latency_ns", sheet),
        *_nodes(folder / "read_bandwidth.csv", "bandwidth", "read_bw_GBps", sheet),
        *_matrix(folder / "c2c_latency.csv", "c2c", ("kind", "writer_node", "reader_node"), "latency_ns"),
        *_matrix(folder / "peak_bandwidth.csv", "peak", ("reads", "writes"), "bandwidth_GBps"),
        *_pairs(folder / "core_to_core.csv"),
        *_chase(folder / "chase_latency.csv"),
    ]
    curve = _loaded(folder / "loaded_latency.csv", sheet) or _mess(folder / "bandwidth_latency.csv")
    if curve and not any(cell.quantity == "idle" for cell in cells):
        cells.insert(0, Cell("idle", (0, 0), float(curve.ns[0])))  # Mess: its first point is without load
    return Host(sheet.name, sheet, cells, curve)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _number(row: dict[str, str], key: str, path: Path, line: int, none: bool = False) -> float:
    """A number above 0. none: or 0, as a load of next to nothing is written."""
    try:
        value = float(row[key])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{row.get(key)!r} is no number", f"{path}:{line}", f"a number in the column {key}") from None
    if not (0 < value < math.inf or (none and value == 0)):
        raise UserError(f"{row[key]} in the column {key}", f"{path}:{line}", "a number above 0")
    return value


def _nodes(path: Path, quantity: str, value: str, sheet: Spec) -> list[Cell]:
    """A matrix of nodes, which are those of the sheet."""
    found = _matrix(path, quantity, ("cpu_node", "mem_node"), value)
    cpus, every = sheet.sockets * sheet.nodes_per_socket, sheet.sockets * sheet.nodes_per_socket + len(sheet.cxl)
    for line, cell in enumerate(found, 2):
        for node, most in zip(cell.where, (cpus, every), strict=True):
            if not isinstance(node, int) or node >= most:
                raise UserError(f"node {node!r}", f"{path}:{line}", f"0 to {most - 1}, as the sheet has nodes")
    shown = len({cell.where[1] for cell in found})
    if 1 < shown < cpus:
        raise UserError(f"a matrix of {shown} nodes", f"{path}:{1 + len(found)}", f"{cpus}, as the sheet has nodes")
    return found


def _matrix(path: Path, quantity: str, where: tuple[str, ...], value: str) -> list[Cell]:
    found = []
    for line, row in enumerate(_rows(path), 2):
        place: list[Any] = [int(row[key]) if row.get(key, "").isdigit() else row.get(key, "") for key in where]
        found.append(Cell(quantity, tuple(place), _number(row, value, path, line)))
    return found


def _pairs(path: Path) -> list[Cell]:
    """Medians by class of pair; where a class was measured over several sets of CPUs, that of the first threads."""
    found: dict[str, Cell] = {}
    for line, row in enumerate(_rows(path), 2):
        kind = row["pair_class"]
        if kind not in ("all_pairs", "smt_sibling"):
            found.setdefault(kind, Cell("pairs", (kind,), _number(row, "median_ns", path, line)))
    return list(found.values())


def _chase(path: Path) -> list[Cell]:
    """By working set: medians of the run with fewest ranks, which disturb each other least."""
    rows = [row for row in _rows(path) if row["placement"].startswith("all_local")]
    fewest = min((int(row["ranks"]) for row in rows), default=0)
    return [
        Cell("chase", (int(row["size_MB_per_rank"]),), _number(row, "median_ns", path, line))
        for line, row in enumerate(rows, 2)
        if int(row["ranks"]) == fewest
    ]


def _loaded(path: Path, sheet: Spec) -> Curve | None:
    rows = [
        (
            _number(row, "total_read_bw_GBps", path, line, none=True),
            _number(row, "latency_ns", path, line),
            _number(row, DELAY, path, line, none=True) if DELAY in row else math.nan,
        )
        for line, row in enumerate(_rows(path), 2)
    ]
    if not rows:
        return None
    gbps, ns, delays = np.array(sorted(rows)).T
    known = None if np.isnan(delays).any() else delays
    return Curve(gbps, ns, sheet.sockets, threads=_threads(path, sheet), delays=known)


def _threads(path: Path, sheet: Spec) -> int:
    """The threads of a core that load: column threads_per_core, the same in all rows; without it one. Raises
    UserError if a core of the sheet has not so many."""
    said = {row.get("threads_per_core") or "1" for row in _rows(path)}
    if len(said) > 1 or not said <= {str(n + 1) for n in range(sheet.threads_per_core)}:
        expected = f"one number, 1 to {sheet.threads_per_core}, as the sheet says"
        raise UserError(f"threads_per_core {', '.join(sorted(said))}", str(path), expected)
    return int(said.pop())


def _mess(path: Path) -> Curve | None:
    """The curve with most reads: what a sheet's peak and MLC's reads compare with. One socket."""
    rows = _rows(path)
    if not rows:
        return None
    most = max(float(row["read_pct"]) for row in rows)
    points = [
        (_number(row, "bandwidth_GBps", path, line, none=True), _number(row, "latency_ns", path, line))
        for line, row in enumerate(rows, 2)
        if float(row["read_pct"]) == most
    ]
    gbps, ns = np.array(sorted(points)).T
    return Curve(gbps, ns, 1)
