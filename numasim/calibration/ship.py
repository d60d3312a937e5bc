"""The models that numasim ships: every host of calibration/hosts with a sheet, fitted to what was measured there.

    python -m numasim.calibration.ship [HOST ...]

writes models/HOST.toml. Models written by hand (those without the mark in their first line) are left alone.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from numasim.assets import shipped
from numasim.calibration import compose, ddr, fit, published, written
from numasim.calibration.published import Host
from numasim.calibration.spec import Spec
from numasim.calibration.values import resourced, value_of
from numasim.errors import UserError
from numasim.machine import Machine

MARK = "Fitted by numasim.calibration.ship"
EFFICIENCY = {"memory.channels": 0.95, "memory.mts": 0.95, "links.count": 0.9}  # of the pins, at most, in any host
MODEL_KEYS = {  # a machine's, of what a sheet states
    "cores": "topology.cores_per_domain",
    "frequency_ghz": "core.frequency_ghz",
    "memory.mts": "memory.dram.*",
    "memory.channels": "memory.dram.channels",
}


def settle(host: Host) -> tuple[Spec, dict[str, str]]:
    """The sheet with what it does not state decided by the host's own measurements, or taken from its family.

    Channels, speeds and links: the fewest or slowest that could carry the measured bandwidth. Returns what was said of
    each, too.
    """
    sheet, said = host.sheet, {}
    value: float
    family = [published.load(name).sheet for name in published.names()]
    family = [other for other in family if other.family == sheet.family and other.name != sheet.name]
    local = [c.value for c in host.of("bandwidth") if c.where[0] == c.where[1]]
    nodes = sheet.sockets * sheet.nodes_per_socket
    sockets = [(int(c.where[0]), int(c.where[1]), c.value) for c in host.of("bandwidth") if int(c.where[1]) < nodes]
    across = [v for a, b, v in sockets if a // sheet.nodes_per_socket != b // sheet.nodes_per_socket]
    for key in compose.unstated(sheet):
        if key == "memory.channels" and local:
            value = _least(sheet, key, range(sheet.nodes_per_socket, 33, sheet.nodes_per_socket), max(local))
            said["memory.dram.channels"] = f"fitted: the fewest that carry the {max(local):g} GB/s measured"
        elif key == "memory.mts" and local and sheet.memory.channels:
            value = _least(sheet, key, [b.mts for b in ddr.BINS[sheet.memory.generation]], max(local))
            said["memory.dram.*"] = (
                f"fitted: the slowest that carries the {max(local):g} GB/s measured, with JEDEC's timings"
            )
        elif key == "links.count" and across and sheet.links:
            raw = sheet.links.gts * compose.LANES[sheet.links.kind][0] / 8
            value = max(1, int(np.ceil(max(across) / EFFICIENCY[key] / raw)))
            said[f"links.{sheet.links.kind}.count"] = f"fitted: the fewest that carry the {max(across):g} GB/s measured"
        else:
            known = [(_stated(other, key), other.name) for other in family if _stated(other, key)]
            if not known:
                raise UserError(f"{key} is not stated", sheet.name, "a value: no other host of its family has one")
            value, who = max(known)
            model = MODEL_KEYS.get(key, key)
            model = model.replace("l3_bytes", "l3.size_bytes").replace(
                "links.", f"links.{sheet.links.kind if sheet.links else ''}."
            )
            said[model] = f"assumed: as {who}; not stated"
        sheet = compose.stated(sheet, {key: value if key == "frequency_ghz" else int(value)})
    return sheet, said


def _least(sheet: Spec, key: str, values: Iterable[int], gbps: float) -> float:
    """The least of some channels or speeds, in ascending order, with which a node's memory carries so many GB/s."""
    need, most, memory = gbps * sheet.nodes_per_socket / EFFICIENCY[key], 0.0, sheet.memory
    for value in values:
        memory = compose.stated(sheet, {key: value}).memory
        most = ddr.peak_gbps(memory.generation, memory.mts, memory.channels)
        if most >= need:
            return value
    most *= EFFICIENCY[key] / sheet.nodes_per_socket
    best = f"at most {most:.0f} GB/s, as {memory.generation}-{memory.mts} on {memory.channels} channels has"
    raise UserError(f"{gbps:g} GB/s measured of a node", f"{sheet.name}, {key}", best)


def _stated(sheet: Spec, key: str) -> float:
    table, _, field = key.rpartition(".")
    owner = getattr(sheet, table) if table else sheet
    return float(getattr(owner, field)) if owner is not None else 0.0


def fitted(name: str, cells: list[published.Cell] | None = None, curve: bool = True) -> fit.Fitted:
    """A shipped host fitted to its measurements, or to some of them."""
    host = published.load(name)
    if not curve:
        host = host._replace(curve=None)
    sheet, said = settle(host)
    base = compose.compose(sheet)
    base = resourced(base, said)
    return fit.fit(base, host, cells)


def head(name: str, found: fit.Fitted, machine: Machine) -> str:
    """What a model's file says first."""
    host = published.load(name)
    what = sorted({cell.quantity for cell in host.cells} | ({"loaded"} if host.curve else set()))
    loose = f"\nNot determined by them: {', '.join(found.undetermined)}." if found.undetermined else ""
    bound = f"\nAt a bound: {', '.join(found.at_bound)}." if found.at_bound else ""
    counts = ", ".join(f"{n} {kind}" for kind, n in sorted(written.kinds(machine).items()))
    return (
        f"{machine.description}.\n\n{MARK} to calibration/hosts/{name} (its SOURCE.md names each original):\n"
        f"{', '.join(what)}; {len(found.knobs)} values to {found.cells} measured ones, {found.independent} of them"
        f" independent.\nValues: {counts}. [sources] says from where, [uncertainty] how well.{loose}{bound}"
    )


def main(names: list[str]) -> None:
    """Fit these hosts, all of them if none is named, and write their models."""
    folder = shipped("models")
    for name in names or published.names():
        target = folder / f"{name}.toml"
        if target.is_file() and MARK not in target.read_text(encoding="utf-8"):
            print(f"{name}: written by hand, left alone")
            continue
        found = fitted(name)
        part = Path(f"{target}.part")
        part.write_text(written.text(found.machine, head(name, found, found.machine)), encoding="utf-8")
        part.replace(target)
        values = ", ".join(f"{knob.key} {value_of(found.machine, knob.key):g}" for knob in found.knobs)
        print(f"{name}: {values}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
