"""Values read from a file or given as text, held against the fields of `model.py`: types, units, ranges, misspelt keys.

What is wrong is said in one line with place, key and what was expected, more than the messages of msgspec alone do.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import NoReturn, SupportsIndex

from msgspec import inspect

from numasim.errors import UserError
from numasim.machine.model import Machine
from numasim.sizes import parse_count, parse_size

TABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_UNITS = {
    "_ns": "nanoseconds",
    "_us": "microseconds",
    "_ghz": "GHz",
    "_hz": "events a second",
    "_bytes": "bytes",
    "_gbps": "GB/s (1e9 bytes a second)",
    "_cycles": "core cycles",
    "_bits": "bits",
}
_YES_NO = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class Place:
    """Where values came from: a file, and the keys that were set on top of it."""

    def __init__(self, file: str, changed: Collection[str] = ()) -> None:
        self.file, self.changed = file, changed

    def __call__(self, *keys: str) -> str:
        """Place of a mistake in any of these keys: the one that was set, else the file and the first key."""
        for key in keys:
            if key in self.changed:
                return f"--set {key}"
        return f"{self.file}: {keys[0]}" if keys and keys[0] else self.file


@cache
def machine_fields() -> inspect.Type:
    """The fields of a machine with their types and ranges."""
    return inspect.type_info(Machine)


def memory_kind() -> inspect.Type:
    """The type of a table [memory.NAME]."""
    tables = fields_of(machine_fields())["memory"].type
    assert isinstance(tables, inspect.DictType)
    return tables.value_type


def fields_of(kind: inspect.Type) -> dict[str, inspect.Field]:
    """The keys a table may have."""
    return {field.encode_name: field for field in kind.fields} if isinstance(kind, inspect.StructType) else {}


def near(word: str, choices: Iterable[str]) -> str:
    """The choice most like a misspelt word; one that differs only in its unit wins. Empty if none is like it."""
    from difflib import get_close_matches

    choices = list(choices)
    stem = word.rpartition("_")[0]
    same = [choice for choice in choices if stem and choice.rpartition("_")[0] == stem]
    best = get_close_matches(word, same, 1, cutoff=0) if same else get_close_matches(word, choices, 1)
    return best[0] if best else ""


def unknown(word: str, choices: Mapping[str, inspect.Field], where: str) -> NoReturn:
    """Raise the UserError for a key that is none of these."""
    best = near(word, choices)
    expected = f"{best}, {expectation(choices[best].type, best)}" if best else "one of " + ", ".join(choices)
    raise UserError(f"unknown key {word!r}", where, expected)


def expectation(kind: inspect.Type, key: str) -> str:
    """What a key's value has to be, as a phrase with unit and range."""
    match kind:
        case inspect.StructType() | inspect.DictType():
            return f"a table [{key}]"
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            return "text in quotes"
        case inspect.LiteralType():
            return "one of " + ", ".join(map(str, kind.values))
        case inspect.VarTupleType() | inspect.TupleType():
            return {"pairs": 'a list of pairs such as [["socket0", "socket1"]]', "nodes": "a list of node numbers"}.get(
                key.rpartition(".")[2], "a list of pairs [GB/s, ns]"
            )
    unit = next((unit for suffix, unit in _UNITS.items() if key.endswith(suffix)), "")
    number = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
    if unit == "bytes":
        number, unit = "a size in bytes, or such as 48KiB", ""
    return f"{number}{' of ' + unit if unit else ''}{_range(kind)}"


def _range(kind: inspect.Type) -> str:
    if not isinstance(kind, (inspect.IntType, inspect.FloatType)):
        return ""
    low = f" from {kind.ge:g}" if kind.ge is not None else f" above {kind.gt:g}" if kind.gt is not None else ""
    return f"{low}{f' to {kind.le}' if kind.le is not None else ''}"


def checked(value: object, kind: inspect.Type, key: str, place: Place) -> object:
    """The value as its field has it (48KiB as 49152, 3 as 3.0). Raises UserError if it cannot be."""
    match kind:
        case inspect.StructType():
            return _table(value, kind, key, place)
        case inspect.DictType():
            return _named(value, kind, key, place)
        case inspect.VarTupleType() | inspect.TupleType() if isinstance(value, (list, tuple)):
            return _sequence(value, kind, key, place)
        case inspect.BoolType() if isinstance(value, bool):
            return value
        case inspect.StrType() if isinstance(value, str) and len(value) >= (kind.min_length or 0):
            return value
        case inspect.LiteralType() if value in kind.values:
            return value
        case inspect.LiteralType() if isinstance(value, str) and value in map(str, kind.values):
            return int(value)  # of the command line: numbers alone differ from their words
        case inspect.IntType() | inspect.FloatType():
            return _number(value, kind, key, place)
    raise UserError(f"{_shown(value)} does not fit", place(key), expectation(kind, key))


def _table(value: object, kind: inspect.StructType, key: str, place: Place) -> dict[str, object]:
    fields = fields_of(kind)
    if not isinstance(value, Mapping):
        raise UserError(f"{_shown(value)} is no table", place(key), f"a table [{key}]")
    for name in value:
        if name not in fields:
            unknown(name, fields, place(key))
    for name, field in fields.items():
        if field.required and name not in value:
            missing(name, field.type, key, place)
    prefix = f"{key}." if key else ""
    return {name: checked(inner, fields[name].type, prefix + name, place) for name, inner in value.items()}


def missing(name: str, kind: inspect.Type, table: str, place: Place) -> NoReturn:
    """Raise the UserError for a key that has to be there."""
    raise UserError(f"missing key {name!r}", place(table), expectation(kind, name))


def _named(value: object, kind: inspect.DictType, key: str, place: Place) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise UserError(f"{_shown(value)} is no table", place(key), f"tables [{key}.NAME]")
    if key != "sources":
        for name in value:
            if not TABLE_NAME.fullmatch(name):
                raise UserError(f"bad name {name!r}", place(key), "a letter, then letters, digits, - or _")
    return {name: checked(inner, kind.value_type, f"{key}.{name}", place) for name, inner in value.items()}


def _sequence(
    value: list[object] | tuple[object, ...], kind: inspect.VarTupleType | inspect.TupleType, key: str, place: Place
) -> tuple[object, ...]:
    if isinstance(kind, inspect.VarTupleType):
        kinds = (kind.item_type,) * len(value)
        wrong = len(value) < (kind.min_length or 0)
    else:
        kinds, wrong = kind.item_types, len(value) != len(kind.item_types)
    if wrong:
        raise UserError(f"{_shown(value)} has the wrong length", place(key), expectation(kind, key))
    return tuple(checked(item, inner, key, place) for item, inner in zip(value, kinds, strict=True))


def _number(value: object, kind: inspect.IntType | inspect.FloatType, key: str, place: Place) -> int | float:
    number: int | float
    if isinstance(value, str) and key.endswith("_bytes"):
        number = parse_size(value, place(key))
    elif isinstance(value, float) and isinstance(kind, inspect.FloatType):
        number = float(value)
    elif isinstance(value, SupportsIndex) and not isinstance(value, bool):
        number = value.__index__()
    else:
        raise UserError(f"{_shown(value)} is of the wrong type", place(key), expectation(kind, key))
    low = number >= kind.ge if kind.ge is not None else number > kind.gt if kind.gt is not None else True
    if not (low and (kind.le is None or number <= kind.le) and math.isfinite(number)):
        raise UserError(f"{_shown(value)} is out of range", place(key), expectation(kind, key))
    return float(number) if isinstance(kind, inspect.FloatType) else number


def parsed(text: str, kind: inspect.Type, where: str, key: str) -> object:
    """A value given as text, read the way its field needs it. Raises UserError."""
    match kind:
        case inspect.IntType():
            return parse_size(text, where) if key.endswith("_bytes") else parse_count(text, where)
        case inspect.FloatType():
            try:
                return float(text)
            except ValueError:
                raise UserError(f"{text!r} is not a number", where, expectation(kind, key)) from None
        case inspect.BoolType() if text.lower() in _YES_NO:
            return _YES_NO[text.lower()]
        case inspect.VarTupleType():
            import tomllib

            try:
                return tomllib.loads(f"value = {text}")["value"]
            except tomllib.TOMLDecodeError:
                raise UserError(f"{text!r} is not a list", where, expectation(kind, key)) from None
    return text


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
