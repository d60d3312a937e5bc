"""This project's own measurements as cells: the file of `numasim measure`, whose words calibration/native explains.

A value is the median of the repetitions in which the program was not disturbed. Where there are none such it is the
better decile of all, as a disturbance makes everything slower; but a loaded latency, whose load may have been away, is
left out. What is no cell stays in `file`, with every repetition.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from numasim.calibration import host_file
from numasim.calibration.host_file import HostFile, Measurement
from numasim.calibration.published import Cell, Curve
from numasim.calibration.readers.measured import Measured
from numasim.errors import UserError, told_in
from numasim.machine.nodes import parse_cpus

MIB = 1 << 20
BEYOND = 4  # a chase through so many times the L3 is one through memory
SAME = 0.8  # a chase within pages that is faster than this share of one through all is the prefetchers' doing


def read(path: str | Path) -> Measured:
    """cells: "idle", "chase", "bandwidth", "peak", "c2c", "pairs"; curve: loaded latency of a whole socket's memory.

    Raises UserError as `host_file.read` does, and for runs that lack what this version's have.
    """
    file = host_file.read(path)
    try:
        with told_in(str(path)):
            return _measured(file)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        what = f"a run or the host without {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(what, str(path), "a file written by `numasim measure` of this version") from None


def _measured(file: HostFile) -> Measured:
    place = _Place(file.host)
    prefetched = _prefetched(file, place)
    idle = _idle(file, place, prefetched)
    cells = [*idle, *_bandwidth(file, place), *([] if prefetched else _c2c(file, place)), *_pairs(file, place)]
    left = "chases and c2c within pages, which prefetchers make faster" if prefetched else ""
    if not idle:
        cells = [*_chase(file, place), *cells]
    virtual: Mapping[str, Any] = file.host.get("virtual") or {}
    environment = {
        "instrument": "numasim measure",
        "cpu": str((file.host.get("cpu") or {}).get("name") or "unknown"),
        "protocol": file.protocol.name + (", interrupted" if file.partial else ""),
        "virtual": str(virtual.get("by") or "yes") if virtual.get("is") else "no",
        "stolen": f"{100 * max((cpu.stolen_share for cpu in file.during.cpus), default=0.0):.1f} %",
    }
    curve, unloaded = _curve(file, place)
    if left or unloaded:
        environment["left out"] = "; ".join(filter(None, (left, unloaded)))
    disturbed = sum(sample.quiet is None for one in file.measurements for sample in list(one.samples.values())[:1])
    if disturbed:
        environment["disturbed"] = f"{disturbed} of {len(file.measurements)} runs in every repetition"
    return Measured(cells, curve, environment, file=file)


class _Place:
    """Which CPUs share what, as the host's own files say."""

    def __init__(self, host: Mapping[str, Any]) -> None:
        self.node: dict[int, int] = {}
        self.core: dict[int, tuple[int, int]] = {}
        for one in host.get("cpus") or []:
            self.node[int(one["cpu"])] = int(one["node"])
            self.core[int(one["cpu"])] = (int(one["package"]), int(one["core"]))
        last = [cache for cache in host.get("caches") or [] if cache.get("level") == 3]
        self.l3_bytes = int(last[0]["size_bytes"]) if last else 0
        self.l3_cpus = set(self.cpus(last[0]["cpus"])) if last else set()
        packages = {self.core[cpu][0] for cpu in self.l3_cpus}
        self.one_l3 = self.l3_cpus >= {cpu for cpu, core in self.core.items() if core[0] in packages}  # a socket's

    def cpus(self, words: object) -> tuple[int, ...]:
        return parse_cpus(str(words), sorted(self.node))

    def cores(self, cpus: Iterable[int]) -> set[tuple[int, int]]:
        return {self.core[cpu] for cpu in cpus}

    def of_node(self, node: int) -> set[int]:
        return {cpu for cpu, at in self.node.items() if at == node}

    def fills_node(self, cpus: Iterable[int], node: int, but: int = 0) -> bool:
        """Are there threads on all cores of the node, but so many?"""
        return len(self.cores(cpus)) >= len(self.cores(self.of_node(node))) - but

    def kind(self, one: int, other: int) -> str:
        """The class of a pair; empty where the files do not say (a pair far from the CPU whose L3 is described)."""
        if self.core[one] == self.core[other]:
            return "smt_sibling"
        if self.core[one][0] != self.core[other][0]:
            return "cross_socket"
        if self.one_l3:
            return "same_socket"
        if one in self.l3_cpus or other in self.l3_cpus:
            return "same_ccx_or_cluster" if {one, other} <= self.l3_cpus else "same_socket"
        return ""


def _value(one: Measurement, name: str) -> float | None:
    sample = one.samples.get(name)
    if sample is None:
        return None
    better = sample.p90 if name.endswith("_gbps") else sample.p10
    value = sample.quiet if sample.quiet is not None or one.experiment == "loaded" else better
    return value if value and value > 0 else None


def _on(one: Measurement, place: _Place) -> tuple[int, int]:
    """Nodes of the CPU and of the memory; an unbound run's memory is where it was first touched."""
    at = place.node[int(one.keys["cpu"])]
    return at, at if int(one.keys["node"]) < 0 else int(one.keys["node"])


def _chases(file: HostFile, place: _Place, pages: str, within: str) -> dict[tuple[int, int], Measurement]:
    """By pair of nodes: the chase through most, if that is memory."""
    found: dict[tuple[int, int], Measurement] = {}
    for one in file.of("chase"):
        if (one.keys["pages"], one.keys["within"]) != (pages, within) or _value(one, "latency_ns") is None:
            continue
        size = int(one.keys["size"])
        known = found.get(_on(one, place))
        if size >= BEYOND * place.l3_bytes and (known is None or size > int(known.keys["size"])):
            found[_on(one, place)] = one
    return found


def _prefetched(file: HostFile, place: _Place) -> bool:
    """Do prefetchers find lines within a page, in random order too? Then chases within pages say nothing of latency."""
    whole, paged = _chases(file, place, "2m", "all"), _chases(file, place, "4k", "page")
    both = [
        (_value(one, "latency_ns"), _value(whole[pair], "latency_ns")) for pair, one in paged.items() if pair in whole
    ]
    return any(page < SAME * all_ for page, all_ in both if page and all_)


def _idle(file: HostFile, place: _Place, prefetched: bool) -> list[Cell]:
    """Idle latencies by pair of nodes, by one kind of chase for all of them: at random through all of 2 MiB pages, as a
    matrix's twin does; or within pages of 4 KiB, where that covers more pairs and prefetchers do not make it faster."""
    whole, paged = _chases(file, place, "2m", "all"), _chases(file, place, "4k", "page")
    chosen = paged if len(paged) > len(whole) and not prefetched else whole
    return [Cell("idle", pair, _value(one, "latency_ns") or 0.0) for pair, one in sorted(chosen.items())]


def _chase(file: HostFile, place: _Place) -> list[Cell]:
    """Local chases in 2 MiB pages by working set, where none of them is long enough to be an idle latency."""
    found: dict[int, Cell] = {}
    for one in file.of("chase"):
        value, (cpu, memory) = _value(one, "latency_ns"), _on(one, place)
        mib, rest = divmod(int(one.keys["size"]), MIB)
        if value and cpu == memory and not rest and (one.keys["pages"], one.keys["within"]) == ("2m", "all"):
            found.setdefault(mib, Cell("chase", (mib,), value))
    return [found[mib] for mib in sorted(found)]


def _bandwidth(file: HostFile, place: _Place) -> list[Cell]:
    """All cores of a node read a node's memory; with one node also other mixes, which are then the machine's peak."""
    found: dict[tuple[str, tuple[int, int]], Cell] = {}
    for one in file.of("bandwidth"):
        read, written = _value(one, "read_gbps"), _value(one, "write_gbps")
        at, memory = _on(one, place)
        if not read or not place.fills_node(place.cpus(one.keys["cpus"]), at):
            continue
        reads, writes = (int(part) for part in str(one.keys["ratio"]).split(":"))
        if not writes:
            found["bandwidth", (at, memory)] = Cell("bandwidth", (at, memory), read)
        elif len(set(place.node.values())) == 1:
            found["peak", (reads, writes)] = Cell("peak", (reads, writes), read + (written or 0.0))
    return [found[key] for key in sorted(found)]


def _c2c(file: HostFile, place: _Place) -> list[Cell]:
    """As MLC names them: clean and modified lines of a neighbour; modified ones of another node, by home."""
    found: dict[tuple[str | int, ...], Cell] = {}
    near = "same_socket" if place.one_l3 else "same_ccx_or_cluster"
    for one in file.of("c2c"):
        value, reader, writer = _value(one, "latency_ns"), int(one.keys["cpu"]), int(one.keys["other"])
        state = str(one.keys["state"]).upper()
        at, home, owner = place.node[reader], _on(one, place)[1], place.node[writer]
        where: tuple[str | int, ...] = ()
        if at == owner == home and place.kind(reader, writer) == near:
            where = (f"local_L2_to_L2_{state}", "", "")
        elif at != owner and state == "HITM" and home in (at, owner):
            where = (f"remote_HITM_homed_in_{'writer' if home == owner else 'reader'}", owner, at)
        if value and where:
            found.setdefault(where, Cell("c2c", where, value))
    return list(found.values())


def _pairs(file: HostFile, place: _Place) -> list[Cell]:
    """Medians by class of pair."""
    found: dict[str, list[float]] = {}
    for one in file.of("pingpong"):
        value = _value(one, "handover_ns")
        kind = place.kind(int(one.keys["cpu"]), int(one.keys["other"]))
        if value and kind:
            found.setdefault(kind, []).append(value)
    return [Cell("pairs", (kind,), float(np.median(values))) for kind, values in found.items()]


def _curve(file: HostFile, place: _Place) -> tuple[Curve | None, str]:
    """Local loaded latency of reads, all other cores of a socket under load; none where a socket has several nodes, or
    where the heaviest load was always disturbed: a curve's peak counts. And what was left out, in words."""
    points: dict[int, tuple[float, float] | None] = {}
    for one in file.of("loaded"):
        at, memory = _on(one, place)
        cpus = place.cpus(one.keys["cpus"])
        package = place.core[int(one.keys["cpu"])][0]
        whole = place.of_node(at) == {cpu for cpu, core in place.core.items() if core[0] == package}
        same = at == memory and int(one.keys["from"]) in (-1, memory) and one.keys["ratio"] == "1:0"
        if same and whole and place.fills_node(cpus, at, but=1) and one.keys["within"] == "all":
            ns, gbps = _value(one, "latency_ns"), _value(one, "read_gbps")
            points.setdefault(int(one.keys["delay"]), (gbps, ns) if ns and gbps else None)
    if not points:
        return None, ""
    kept = sorted(point for point in points.values() if point)
    if points[min(points)] is None or len(kept) < 2:
        return None, "loaded latencies, as the heaviest load was disturbed in every repetition"
    gbps_, ns_ = np.array(kept).T
    return Curve(gbps_, ns_, 1), ""
