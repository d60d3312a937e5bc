"""Formats of other tools' traces: how each is recognised, and what reads it.

A file is recognised by its first bytes, after decompression, else by its name; standard input by neither, as it cannot
be read twice. A binary ChampSim trace has no mark of its own, so its fields are looked at.
"""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from numasim.errors import UserError
from numasim.traces.readers.opening import first_bytes
from numasim.traces.readers.summary import Summary, of_lackey

SEEN = 4096  # bytes looked at


class Format(NamedTuple):
    """A format.

    name: as users give it.  what: for people.  is_it: does a file that begins with these bytes look like it?
    suffixes: of its files' names, before .gz and .xz.  module: in this package; its `convert` reads the format.
    options: what convert is given beside what the user says.
    """

    name: str
    what: str
    is_it: Callable[[bytes], bool]
    suffixes: tuple[str, ...]
    module: str
    options: tuple[tuple[str, Any], ...] = ()


def _lackey(head: bytes) -> bool:
    lines = head.split(b"\n")
    return any(line[:3] in (b"I  ", b" L ", b" S ", b" M ") for line in lines) or b"Lackey" in head


def _drmemtrace(head: bytes) -> bool:
    return b"#->: <" in head or b"<record#>: T<tid>" in head or b" byte(s) @ 0x" in head or b" <marker: " in head


def _ramulator(head: bytes) -> bool:
    from numasim.traces.readers.ramulator import FORMS

    first = head.lstrip().split(b"\n", 1)[0]
    return any(pattern.match(first) for pattern in FORMS.values())


def _champsim(size: int, destinations: int) -> Callable[[bytes], bool]:
    def is_it(head: bytes) -> bool:
        """Do the first records have what ChampSim's must: an address, and flags that are 0 or 1?"""
        records = [head[at : at + size] for at in range(0, len(head) - size + 1, size)]
        padding = slice(10 + 4 + destinations, 16 if destinations == 2 else 24)
        return bool(records) and all(
            any(record[:8]) and record[8] < 2 and record[9] <= record[8] and not any(record[padding])
            for record in records
        )

    return is_it


FORMATS = (
    Format("lackey", "log of valgrind --tool=lackey --trace-mem=yes", _lackey, (), "lackey"),
    Format("drmemtrace", "text of DynamoRIO's drmemtrace view tool", _drmemtrace, (), "drmemtrace"),
    Format("ramulator", "text trace of Ramulator or Ramulator 2", _ramulator, (), "ramulator"),
    Format("champsim", "binary trace of ChampSim", _champsim(64, 2), (".champsim", ".champsimtrace"), "champsim"),
    Format(
        "champsim-cloudsuite",
        "binary trace of ChampSim, CloudSuite form",
        _champsim(96, 4),
        (),
        "champsim",
        (("cloudsuite", True),),
    ),
)
NAMES = tuple(one.name for one in FORMATS)


def recognise(path: str) -> Format:
    """The format of a file. Raises UserError if it cannot be read, is empty, or is of none of them."""
    expected = "one of " + ", ".join(NAMES)
    if path == "-":
        raise UserError("a format that is not told", "standard input", f"{expected} (with --format)")
    head = first_bytes(path, SEEN)
    if not head:
        raise UserError("empty", path, expected)
    for one in FORMATS:
        if one.is_it(head):
            return one
    for one in FORMATS:
        if Path(path.removesuffix(".gz").removesuffix(".xz")).suffix in one.suffixes:
            return one
    if b"|OP " in head and b"|LVL " in head:
        raise UserError("samples of perf, which are no trace", path, "`numasim trace samples` for it")
    raise UserError("no format that is known", path, expected)


def convert(
    path: str | Path,
    output: str | Path,
    format: str | None = None,
    *,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> Summary:
    """Convert a file of another tool (plain, .gz or .xz; "-": standard input) to the trace file `output`.

    format: one of NAMES; None: recognised. progress is called with how much has been read, in the format's unit.
    options: of the format's own `convert`. Raises UserError for an unknown format, for an option the format does not
    take, and what its `convert` raises.
    """
    found = {one.name: one for one in FORMATS}.get(format or "") or (None if format else recognise(str(path)))
    if found is None:
        raise UserError(f"no format {format!r}", "--format", "one of " + ", ".join(NAMES))
    for option in options:
        if option not in _options(found):
            takes = [one.name for one in FORMATS if option in _options(one)]
            raise UserError(f"option {option!r}, but the format is {found.name}", str(path), ", ".join(takes))
    done = _convert(found)(path, output, progress=progress, **dict(found.options), **options)
    return done if isinstance(done, Summary) else of_lackey(done)


def _convert(one: Format) -> Callable[..., Any]:
    reader: Callable[..., Any] = importlib.import_module(f"numasim.traces.readers.{one.module}").convert
    return reader


def _options(one: Format) -> set[str]:
    """Names of what the format's convert can be told."""
    return set(inspect.signature(_convert(one)).parameters)
