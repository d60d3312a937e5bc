"""Sizes and counts as people write them: 512MiB, 64k, 1e6."""

import re

from numasim.errors import UserError

_NUMBER = re.compile(r"\s*([0-9][0-9_]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+)\s*([A-Za-z]*)\s*")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def _parse(text: str | int | float, where: str, base: int, expected: str) -> int:
    found = None if isinstance(text, bool) else _NUMBER.fullmatch(str(text))
    if not found:
        raise UserError(f"{str(text)!r} is not a number", where, expected)
    number, unit = found.groups()
    unit = unit.lower().removesuffix("b")
    if unit.endswith("i"):
        unit, base = unit[:-1], 1024
    if unit not in _POWERS:
        raise UserError(f"unknown unit in {str(text)!r}", where, expected)
    value = float(number.replace("_", "")) * base ** _POWERS[unit]
    if value > 2**62 or value != int(value):  # in this order: an infinity has no int
        raise UserError(f"{str(text)!r} is not a whole number in range", where, expected)
    return int(value)


def parse_size(text: str | int | float, where: str = "") -> int:
    """Bytes: `512MiB`, `64k` (k, M, G are powers of 1024, as in numactl and lscpu), `4096`. Raises UserError."""
    return _parse(text, where, 1024, "a size such as 512MiB, 64k or 4096")


def parse_count(text: str | int | float, where: str = "") -> int:
    """A number of things: `1e6`, `64k` (k, M, G are powers of 1000), `1_000`. Raises UserError."""
    return _parse(text, where, 1000, "a count such as 1000000, 1e6 or 64k")
