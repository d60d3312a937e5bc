"""Words of a command line taken apart: KEY=VALUE."""

from collections.abc import Iterable

from numasim.errors import UserError


def pairs(words: Iterable[str], where: str) -> dict[str, str]:
    """{"length": "1000"} of ["length=1000"]. Raises UserError for a word without =, or a key given twice."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise UserError(f"{word!r} is no KEY=VALUE", where, "such as length=1000000")
        if key in found:
            raise UserError(f"{key} is given twice", where, "each key once")
        found[key.strip()] = value.strip()
    return found
