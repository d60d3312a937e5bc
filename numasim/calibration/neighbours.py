"""A machine nobody has measured: what only measurements give is taken from its nearest relatives that were.

A relative is a shipped model with a host of the same name. Those of the same family come first; where none of them
knows a value, those of the families next to it in its maker's line do, and that is told as an extrapolation.
"""

import statistics
from collections.abc import Collection
from typing import NamedTuple

import msgspec

from numasim.calibration import compose, families, published
from numasim.calibration.knobs import LOAD, QUEUE
from numasim.calibration.spec import Spec
from numasim.errors import UserError
from numasim.machine import Machine, from_tables, load
from numasim.machine.loading import names
from numasim.machine.model import Uncertainty

SWITCH = LOAD[0]
# what a sheet cannot state; links between sockets go by the name "socket" here, whatever their kind
VALUES = (
    "fabric.controller_ns", "fabric.home_ns", "fabric.remote_ns", "fabric.snoop_ns", "fabric.snoop_dirty_ns",
    "fabric.remote_trackers", "fabric.snoop_remote_ns", "memory.cxl.remote_ns",
    "fabric.directory_ns", "core.outstanding", "memory.rank_switch", "links.socket.latency_ns",
    "links.socket.data_bytes", "links.ondie.latency_ns", "links.ondie.data_bytes", "links.gmi.latency_ns",
    "links.gmi.data_bytes", "links.cxl.latency_ns", "links.cxl.data_bytes",
)  # fmt: skip
# what a home does depends on how a socket is cut into nodes: learnt from relatives of the same mode only
MODAL = ("fabric.home_ns", "fabric.remote_ns", "fabric.snoop_remote_ns", "fabric.remote_trackers")
# of these, what other families or makers have is a better guess than nothing: misses under way a core, and the time
# between ranks in bursts, which stands for how well a controller uses its channels
GENERAL = ("core.outstanding", "memory.rank_switch")
SOCKET_LINKS = ("qpi", "upi", "xgmi")
STRANGER = 99
LONE = 0.15  # relative spread of a value that one relative alone knows: the usual one within a family
FURTHER = 0.3  # of one that only other families know
ALONE = 0.5  # of one that no measured machine knows


class Origin(NamedTuple):
    """Where a value came from. relatives: names.  spread: standard deviation, relative.  extrapolated: none of them is
    of the family."""

    relatives: tuple[str, ...]
    spread: float
    extrapolated: bool


class Neighboured(NamedTuple):
    """A machine from its sheet. origins: by dotted key of the machine.  open: keys the sheet does not state, with what
    they may be; the machine has the middle one."""

    machine: Machine
    origins: dict[str, Origin]
    open: dict[str, tuple[float, ...]]


def relatives(sheet: Spec, without: Collection[str] = ()) -> list[tuple[int, str, Machine, Spec]]:
    """(generations apart, name, model, sheet) of all hosts with a model that this sheet may learn from, nearest first.

    Never itself nor its twins, nor those named in `without`.
    """
    every = others(sheet, without)
    return sorted([one for one in every if one[0] < STRANGER], key=lambda one: one[:2])


def others(sheet: Spec, without: Collection[str] = ()) -> list[tuple[int, str, Machine, Spec]]:
    """As `relatives`, with the machines of other makers, which are STRANGER generations apart."""
    found, shipped = [], set(names())
    for name in published.names():
        other = published.load(name).sheet
        if name in (sheet.name, *sheet.twin_of, *without) or sheet.name in other.twin_of or name not in shipped:
            continue
        apart = families.apart(sheet, other.family)
        found.append((STRANGER if apart is None else apart, name, load(name), other))
    return found


def known(machine: Machine) -> dict[str, float]:
    """The values of a fitted model that its measurements decided, by the names of VALUES."""
    fitted, values = set(machine.fitted()), machine.values()
    found: dict[str, float] = {}
    for key in fitted:
        value = values[key]
        if not isinstance(value, (int, float)):
            continue
        parts = key.split(".")
        if parts[0] == "links" and parts[1] in SOCKET_LINKS:
            parts[1] = "socket"
        found[".".join(parts)] = float(value)
    if "core.prefetch_buffers" in found:
        found["core.outstanding"] = float(machine.core.fill_buffers + machine.core.prefetch_buffers)
    if SWITCH in found and QUEUE not in fitted:  # how well a queue of another size is used says nothing of its family's
        found["memory.rank_switch"] = found[SWITCH] / machine.memory["dram"].burst_ns
    return found


def from_spec(sheet: Spec, without: Collection[str] = ()) -> Neighboured:
    """A model of a sheet's machine. without: hosts to learn nothing from.

    With no relative at all the family's own values stand, with wide errors. Raises UserError if the sheet then leaves
    something open.
    """
    near = relatives(sheet, without)
    opened, stated = _opened(sheet, near)
    chosen = {key: int(options[len(options) // 2]) for key, options in opened.items()}
    whole = compose.stated(sheet, {**stated, **chosen})
    base = compose.compose(whole)
    values, said, origins = _values(whole, base, near, others(sheet, without))
    machine = _uncertain(compose.compose(whole, values, said), origins, opened)
    return Neighboured(machine, origins, opened)


def _uncertain(machine: Machine, origins: dict[str, Origin], opened: dict[str, tuple[float, ...]]) -> Machine:
    """The machine with [uncertainty]: the spread of its relatives, and of what the sheet leaves open."""
    now = machine.values()
    spread = {key: origin.spread * abs(float(str(now[key]))) for key, origin in origins.items()}
    if "core.prefetch_buffers" in origins:  # relative to all of them: there may be none
        every = machine.core.fill_buffers + machine.core.prefetch_buffers
        spread["core.prefetch_buffers"] = origins["core.prefetch_buffers"].spread * every
    for key, options in opened.items():
        named = {"memory.channels": "memory.dram.channels", "memory.mts": ""}.get(key, key)
        if key == "links.count":
            kind = next((kind for kind in SOCKET_LINKS if kind in machine.links), "")
            named = f"links.{kind}.count" if kind else ""
        if named and len(options) > 1:
            scale = float(str(now[named])) / options[len(options) // 2]
            spread[named] = statistics.stdev(options) * scale
    spread.pop("core.fill_buffers", None)  # prefetch_buffers stands for all misses under way
    keys = [key for key, error in spread.items() if error > 0]
    rows = tuple(tuple(float(a == b) for b in keys) for a in keys)
    told = Uncertainty(keys=tuple(keys), standard_error=tuple(round(spread[key], 4) for key in keys), correlation=rows)
    tables = msgspec.structs.replace(machine, uncertainty=told).expanded()
    return from_tables(tables, file=machine.name)


def _opened(
    sheet: Spec, near: list[tuple[int, str, Machine, Spec]]
) -> tuple[dict[str, tuple[float, ...]], dict[str, float]]:
    """What the sheet leaves open: with several possible values, or taken over from the nearest relative."""
    opened: dict[str, tuple[float, ...]] = {}
    stated: dict[str, float] = {}
    for key in compose.unstated(sheet):
        knowing = [(apart, value) for apart, *_, other in near if (value := _stated(other, key))]
        if not knowing:
            raise UserError(f"{key} is not stated", sheet.name, "a value: no relative has one")
        seen = sorted({value for apart, value in knowing if apart == min(knowing)[0]})
        if key == "memory.channels":
            most = int(seen[-1])
            opened[key] = tuple(float(n) for n in range(1, most + 1) if n in (most // 4, most // 2, most))
        elif key in ("links.count", "memory.mts"):
            opened[key] = tuple(seen)
        else:
            middle = seen[len(seen) // 2]
            stated[key] = middle if key in ("frequency_ghz", "links.gts") else int(middle)
    domains = sheet.domains_per_socket or sheet.nodes_per_socket
    if "cores" in stated:
        stated["cores"] = stated["cores"] // domains * domains
    return opened, stated


def _stated(sheet: Spec, key: str) -> float:
    table, _, field = key.rpartition(".")
    owner = getattr(sheet, table) if table else sheet
    return float(getattr(owner, field)) if owner is not None else 0.0


def _values(
    sheet: Spec,
    base: Machine,
    near: list[tuple[int, str, Machine, Spec]],
    every: list[tuple[int, str, Machine, Spec]],
) -> tuple[dict[str, float], dict[str, str], dict[str, Origin]]:
    keys = {_real(base, name): name for name in VALUES if _real(base, name)}
    values: dict[str, float] = {}
    said: dict[str, str] = {}
    origins: dict[str, Origin] = {}
    for key, name in keys.items():
        asked = every if name in GENERAL else near
        if name in MODAL:
            asked = [one for one in asked if one[3].nodes_per_socket == sheet.nodes_per_socket]
        knowing = [(apart, who, known(model)[name]) for apart, who, model, _ in asked if name in known(model)]
        closest = min((apart for apart, *_ in knowing), default=STRANGER)
        if name in GENERAL and closest > 1:  # cores so far apart are as good as strangers
            knowing, closest = [(STRANGER, who, value) for _, who, value in knowing], STRANGER
        written = name == "core.outstanding" and LOAD[1] in base.sources
        if not knowing or written:  # what is written of a core is a better guess than one that was fitted
            if not near or written:
                key = {"core.outstanding": LOAD[1], "memory.rank_switch": SWITCH}.get(name, key)
                origins[key] = Origin((), LONE if written else ALONE, not written)
            continue
        if closest > (near[0][0] if near else STRANGER) and name not in GENERAL and not name.startswith("links."):
            continue  # the nearest family was measured and needs no such value: what others needed is of their kind
        told = [(who, value) for apart, who, value in knowing if apart == closest]
        middle = statistics.median if closest == STRANGER else statistics.fmean
        mean = middle([value for _, value in told])
        spread = statistics.stdev(v for _, v in told) / mean if len(told) > 1 and mean else LONE
        apart = ALONE if closest == STRANGER else FURTHER
        origin = Origin(tuple(who for who, _ in told), max(spread, 0.02) if not closest else apart, closest > 0)
        far = ", an extrapolation: none is of the family" if origin.extrapolated else ""
        kind = "median" if closest == STRANGER else "mean"
        text = f"assumed: the {kind} of {', '.join(origin.relatives)}, which were measured{far}"
        if name == "core.outstanding":
            fills = base.core.fill_buffers
            parts: dict[str, float] = {
                "core.fill_buffers": min(fills, round(mean)),
                "core.prefetch_buffers": max(0, round(mean) - fills),
            }
        elif name == "memory.rank_switch":
            parts = {SWITCH: round(mean * base.memory["dram"].burst_ns, 4)}
        else:
            parts = {key: round(mean) if isinstance(base.values()[key], int) else round(mean, 3)}
        for part, value in parts.items():
            values[part], said[part], origins[part] = value, text, origin
    return values, said, origins


def _real(machine: Machine, name: str) -> str:
    """The machine's key for one of VALUES; empty if it has none."""
    if name in GENERAL:
        return name
    table, part, *rest = name.split(".")
    if table == "memory":
        return name if part in machine.memory else ""
    if table != "links":
        return name
    if part == "socket":
        part = next((kind for kind in SOCKET_LINKS if kind in machine.links), "")
    return ".".join([table, part, *rest]) if part in machine.links else ""
