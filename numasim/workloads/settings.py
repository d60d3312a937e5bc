"""The keys of a workload: how each is written, read and described. `size: int = key(size_bytes(), "64MiB", "...")`."""

from collections.abc import Callable
from dataclasses import field
from fractions import Fraction
from typing import Any, NamedTuple

from numasim.errors import UserError
from numasim.sizes import parse_count, parse_size

LINE = 64
MAX_ELEMENTS = 1 << 26  # of a structure: what the host must hold of it is some 8 to 40 bytes an element
MAX_BYTES = 1 << 40
ALLOCATORS = ("auto", "size_class", "malloc", "bump", "fragmented", "onnode")


class Kind(NamedTuple):
    """How the text of a key becomes its value. read(text, where): the value, or UserError naming `where`."""

    type: str
    unit: str
    read: Callable[[str, str], Any]


def key(kind: Kind, default: str, doc: str) -> Any:
    """A dataclass field that `make` fills from text. doc: one line, shown to users."""
    return field(default=kind.read(default, "default"), metadata={"kind": kind, "default": default, "doc": doc})


def _between(value: float, low: float, high: float, where: str, unit: str) -> None:
    if not low <= value <= high:
        raise UserError(
            f"{value:,}{unit and ' '}{unit} is out of range", where, f"{low:,} to {high:,}{unit and ' '}{unit}"
        )


def count(low: int = 1, high: int = MAX_ELEMENTS, unit: str = "") -> Kind:
    """A whole number of things: 1000000, 1e6, 64k."""

    def read(text: str, where: str) -> int:
        value = parse_count(text, where)
        _between(value, low, high, where, unit)
        return value

    return Kind("count", unit, read)


def size_bytes(low: int = LINE, high: int = MAX_BYTES, multiple: int = 1) -> Kind:
    """Bytes: 512MiB, 64k, 4096."""

    def read(text: str, where: str) -> int:
        value = parse_size(text, where)
        _between(value, low, high, where, "bytes")
        if value % multiple:
            raise UserError(f"{value:,} bytes", where, f"a multiple of {multiple}")
        return value

    return Kind("size", "bytes", read)


def choice(*words: str) -> Kind:
    """One of some words."""

    def read(text: str, where: str) -> str:
        if text not in words:
            raise UserError(f"{text!r} is unknown", where, " or ".join(words))
        return text

    return Kind("|".join(words), "", read)


def yes_no() -> Kind:
    """yes or no; true and false, as TOML has them, too."""
    words = {"yes": True, "true": True, "no": False, "false": False}

    def read(text: str, where: str) -> bool:
        if text.lower() not in words:
            raise UserError(f"{text!r} is neither", where, "yes or no")
        return words[text.lower()]

    return Kind("yes|no", "", read)


def number(low: float, high: float, unit: str = "") -> Kind:
    """A number between two bounds."""

    def read(text: str, where: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise UserError(f"{text!r} is not a number", where, f"{low} to {high}") from None
        _between(value, low, high, where, unit)
        return value

    return Kind("number", unit, read)


def text() -> Kind:
    """Any text."""
    return Kind("text", "", lambda given, where: given)


def traffic() -> Kind:
    """reads:writes of the memory traffic, as Intel MLC counts it. Its value is the share of lines that are stored to.

    A line stored to is first read (write-allocate), so R:W means W stored and R - W only loaded of every R lines.
    """

    def read(given: str, where: str) -> Fraction:
        reads, colon, writes = given.partition(":")
        if not colon or not reads.strip().isdecimal() or not writes.strip().isdecimal():
            raise UserError(f"{given!r} is not a ratio", where, "reads:writes such as 1:0, 3:1, 2:1, 1:1")
        r, w = int(reads), int(writes)
        if not 0 < r <= 1000 or w > r:
            raise UserError(
                f"{given!r} is impossible", where, "reads >= writes (a stored line is read first), reads from 1 to 1000"
            )
        return Fraction(w, r)

    return Kind("reads:writes", "", read)


def fraction() -> Kind:
    """A share from 0 to 1, kept exact: 0.25, 1/3."""

    def read(given: str, where: str) -> Fraction:
        try:
            value = Fraction(given).limit_denominator(1000)
        except (ValueError, ZeroDivisionError):
            raise UserError(f"{given!r} is not a share", where, "0 to 1, such as 0.25 or 1/3") from None
        if not 0 <= value <= 1:
            raise UserError(f"{given!r} is out of range", where, "0 to 1")
        return value

    return Kind("share", "", read)
