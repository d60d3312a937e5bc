"""Provenance: which entry of a model's `[sources]` speaks for which value."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

# how an entry may begin; "set" marks values changed on loading, and no file should have it
KINDS = ("specified", "fitted", "assumed", "set")
_WILD = str.maketrans("", "", "*?[]")


def flatten(tables: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested dicts as one, under dotted keys, in order."""
    flat: dict[str, object] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def find(entries: Mapping[str, str], key: str) -> str:
    """The entry for a key: the key itself, else of the patterns that match it the one with most plain characters."""
    if key in entries:
        return entries[key]
    matching = [pattern for pattern in entries if fnmatchcase(key, pattern)]
    return entries[max(matching, key=lambda pattern: len(pattern.translate(_WILD)))] if matching else ""


def idle(entries: Mapping[str, str], keys: Mapping[str, object]) -> list[str]:
    """Patterns that match no key: misspelt, or left over."""
    return [pattern for pattern in entries if not any(fnmatchcase(key, pattern) for key in keys)]
