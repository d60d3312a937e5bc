"""Words of a command line: KEY=VALUE taken apart, empty ones told."""

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


def given(word: str, where: str, expected: str) -> str:
    """The word. Raises UserError if it is empty, as `"$FILE"` is where nobody has set FILE."""
    if not word:
        raise UserError("nothing is given", where, expected)
    return word
