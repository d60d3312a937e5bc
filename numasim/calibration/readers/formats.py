"""Which reader a file of measurements needs, told from what is in it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from numasim.calibration.readers import core_matrix, likwid, mess, mlc, native
from numasim.calibration.readers.measured import Measured
from numasim.calibration.readers.text import fields, lines
from numasim.errors import UserError


class Format(NamedTuple):
    """name: what it is called.  read: its reader."""

    name: str
    read: Callable[[Path], Measured]


NATIVE = Format("a host measured by `numasim measure`", native.read)
MLC = Format("an Intel MLC log", mlc.read)
CORES = Format("a core-to-core matrix (CSV, or as printed)", core_matrix.read)
MESS = Format("Mess curves (memory_curves.csv, bwlat_NN.txt or a folder of these)", mess.read)
LIKWID = Format("likwid-bench outputs, or a CSV of threads and MByte/s", likwid.read)
FORMATS = (NATIVE, MLC, CORES, MESS, LIKWID)
KNOWN = "; ".join(known.name for known in FORMATS)


def recognise(path: str | Path) -> Format:
    """The format of a file, or of a folder of curves. Raises UserError, naming what there is, if it is none of them."""
    path = Path(path)
    if path.is_dir():
        if any(mess.NAME.fullmatch(one.name) for one in path.iterdir()):
            return MESS
        raise UserError("is a folder without curves", str(path), KNOWN)
    text = [line.strip() for line in lines(path)]
    filled = [line for line in text if line]
    if filled and filled[0].startswith("{"):
        return NATIVE
    if any(mlc.VERSION.search(line) or any(one.search(line) for one in mlc.SECTIONS.values()) for line in filled):
        return MLC
    if any(likwid.RATE.match(line) or line == "LIKWID MICRO BENCHMARK" for line in filled):
        return LIKWID
    if any(core_matrix.is_printed(line) for line in filled):
        return CORES
    header = fields(filled[0], str(path)) if filled else []
    for headed, found in ((core_matrix.is_list, CORES), (mess.is_header, MESS), (likwid.is_header, LIKWID)):
        if headed(header):
            return found
    rows = [line for line in filled if not line.startswith("#")]
    if rows and all(_numbers(line.split("," if "," in line else None), 2) for line in rows):
        return MESS
    if "," in "".join(filled[:2]) and all(_numbers([w for w in line.split(",") if w.strip()]) for line in filled[1:]):
        return CORES
    raise UserError("is no measurement known here", str(path), KNOWN)


def _numbers(words: list[str], count: int = -1) -> bool:
    """Are these numbers, and so many?"""
    try:
        [float(word) for word in words]
    except ValueError:
        return False
    return count < 0 or len(words) == count


def read(path: str | Path) -> Measured:
    """What a file holds, whatever its format. Raises UserError."""
    return recognise(path).read(Path(path))
