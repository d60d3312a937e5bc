"""The lines of a log as people send them: in some encoding, with colours, quoted in a mail."""

import csv
import math
import re
from pathlib import Path

from numasim.errors import UserError

MOST_NUMBER = 1e9  # a second in ns, 1,000 TB/s in MB/s: what is larger is no measurement
MOST_BYTES = 64 << 20  # the longest log seen has some 100 KB
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}  # PowerShell's > writes UTF-16
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]")  # ECMA-48
_QUOTED = re.compile(r"^(?:> ?)+")


def lines(path: str | Path) -> list[str]:
    """The lines without line ends, escape sequences, and the marks of a quoted mail. Raises UserError."""
    where = str(path)
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UserError(getattr(error, "strerror", None) or str(error), where, "a file that can be read") from None
    if len(raw) > MOST_BYTES:
        raise UserError(f"has more than {MOST_BYTES >> 20} MiB", where, "a log of measurements")
    if not raw.strip():
        raise UserError("is empty", where, "a log of measurements")
    text = raw.decode(next((code for mark, code in _MARKS.items() if raw.startswith(mark)), "utf-8"), "replace")
    return [_shown(line) for line in text.split("\n")]


def _shown(line: str) -> str:
    """What a terminal shows of it: after a carriage return the line is written anew."""
    return _QUOTED.sub("", _ESCAPES.sub("", line.rstrip("\r")).rpartition("\r")[2]).expandtabs()


def fields(line: str, where: str) -> list[str]:
    """The fields of a line of CSV, without blanks around them. Raises UserError."""
    try:
        return [word.strip() for word in next(csv.reader([line]), [])]
    except csv.Error as error:
        raise UserError(f"is no CSV: {error}", where, "fields between commas") from None


def number(
    word: str, where: str, expected: str = "a number above 0", least: float = 0.0, most: float = MOST_NUMBER
) -> float:
    """A number above `least` and below `most`. Raises UserError, which says `where`."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not least < value < most or "_" in word:
        raise UserError(f"{word!r}", where, expected)
    return value
