"""Families: what machines of one design have in common (`calibration/families`), and which families are akin.

Who has a machine of a family that is not shipped writes such a file himself and names it in the sheet.
"""

from typing import Any

from numasim.assets import shipped
from numasim.calibration.spec import Spec, parsed
from numasim.errors import UserError
from numasim.machine.schema import near

# designs that follow each other, oldest first: neighbours in a line are a generation apart
LINES = (
    (
        "ivy-bridge-ep", "haswell-ep", "broadwell-ep", "skylake-sp", "cascade-lake", "ice-lake-sp", "sapphire-rapids",
        "emerald-rapids", "granite-rapids",
    ),
    ("zen2", "zen3", "zen4", "zen5"),
    ("neoverse-n1", "neoverse-v1", "neoverse-v2"),
)  # fmt: skip
CODES = {  # of generations (machine/nearest.py), as names of models begin
    "ivb": "ivy-bridge-ep", "hsw": "haswell-ep", "bdw": "broadwell-ep", "skx": "skylake-sp", "clx": "cascade-lake",
    "icx": "ice-lake-sp", "spr": "sapphire-rapids", "emr": "emerald-rapids", "gnr": "granite-rapids", "rome": "zen2",
    "milan": "zen3", "genoa": "zen4", "turin": "zen5", "graviton2": "neoverse-n1", "graviton3": "neoverse-v1",
    "graviton4": "neoverse-v2",
}  # fmt: skip
OWN = ".toml"  # how a family's name ends that is a file's
NEEDED = ("core", "l1d", "l2", "l3", "tlb", "prefetch", "fabric", "links", "sources")


def names() -> list[str]:
    """Families that are shipped, such as "cascade-lake"."""
    return sorted(path.stem for path in shipped("calibration/families").glob("*.toml"))


def tables(name: str) -> dict[str, Any]:
    """What the machines of a family have in common: of a shipped one, or of a file of that form. Raises UserError."""
    if not name.endswith(OWN):
        if name not in names():
            best = near(name, names())
            every = f"one of {', '.join(names())}, or a file of that form ({OWN}), as in calibration/families"
            raise UserError(f"no family {name!r}", "family", f"{best}? If not, {every}" if best else every)
        return parsed(shipped("calibration/families") / f"{name}.toml", "a family")
    found = parsed(name, "a family, of the form of those in calibration/families")
    for key in NEEDED:
        if not isinstance(found.get(key), dict):
            raise UserError(f"no table [{key}]", name, f"[{'], ['.join(NEEDED)}], as in calibration/families")
    for key in ("slice_bytes", "ways"):
        if not isinstance(found["l3"].get(key), int) or found["l3"][key] < 1:
            raise UserError(f"{found['l3'].get(key)!r}", f"{name}: l3.{key}", "a whole number, of a slice")
    controller = found.get("controller", {"queue_entries": 2})
    queue = controller.get("queue_entries") if isinstance(controller, dict) and len(controller) == 1 else controller
    if type(queue) is not int or queue < 2:
        expected = "queue_entries alone, a whole number of reads, 2 or more"
        raise UserError(f"{queue!r}", f"{name}: controller.queue_entries", expected)
    for key in ("socket", "ondie"):
        if not isinstance(found["links"].get(key), dict):
            raise UserError(f"no table [links.{key}]", name, "a table, as in calibration/families")
    return found


def apart(sheet: Spec, other: str) -> int | None:
    """How many generations a sheet's family and a shipped one are apart; None if they have nothing in common.

    A file's family is one from the shipped family it names as `next_to`, if it does. Raises UserError.
    """
    mine, own = sheet.family, sheet.family.endswith(OWN)
    if own:
        mine = str(tables(mine).get("next_to", ""))
    for line in LINES:
        if mine in line and other in line:
            return abs(line.index(mine) - line.index(other)) + own
    return None
