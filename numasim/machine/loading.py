"""Machine models found, read, changed and checked."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import inspect

from numasim.assets import shipped
from numasim.errors import UserError
from numasim.machine import checks, schema, sources
from numasim.machine.model import Machine
from numasim.machine.schema import Place
from numasim.machine.topology import Topology


def names() -> list[str]:
    """The shipped models, such as "icx-8360y-2s"."""
    return sorted(path.stem for path in shipped("models").glob("*.toml"))


def load(name_or_path: str | Path, set: Mapping[str, object] = {}) -> Machine:
    """A machine by the name of a shipped model or the path of a TOML file (one with a / or ending in .toml).

    set: dotted keys to change, such as {"links.upi.count": 1}, with values of the key's type or as text ("48KiB").
    Raises UserError, naming file, key and what was expected.
    """
    path = _find(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError("is no text", str(path), "a machine model in TOML, UTF-8") from None
    except OSError as error:
        raise UserError(error.strerror or "cannot be read", str(path), "a machine model in TOML") from None
    shown = str(name_or_path)
    return from_toml_text(text, set, shown if path == Path(shown) else f"models/{path.name}")


def _find(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith(".toml"):
        return Path(name_or_path)
    if text not in names():
        best = schema.near(text, names())
        expected = best if best else "a TOML file or one of " + ", ".join(names())
        raise UserError(f"no machine model {text!r}", "machine", expected)
    return shipped("models") / f"{text}.toml"


def from_toml_text(text: str, set: Mapping[str, object] = {}, file: str = "machine") -> Machine:
    """A machine from the text of a TOML file; `file` is what errors call it. Otherwise as `load`."""
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"is not TOML: {error}", file, "a machine model in TOML") from None
    return from_tables(raw, set, file)


def from_tables(raw: Mapping[str, object], set: Mapping[str, object] = {}, file: str = "machine") -> Machine:
    """A machine from nested dicts, as tomllib or `Machine.expanded` give them. Otherwise as `load`."""
    place = Place(file, set)
    raw = _changed(raw, set, place)
    plain = schema.checked(raw, schema.machine_fields(), "", place)
    assert isinstance(plain, Mapping)
    checks.check_tables(plain, place)
    machine = msgspec.convert(plain, Machine)
    checks.check(machine, place)
    # a cached property, filled here so that a missing link is reported with its file and key
    machine.__dict__["topology"] = Topology(machine, place)
    return machine


def _changed(raw: Mapping[str, object], set: Mapping[str, object], place: Place) -> dict[str, object]:
    """A copy of the tables with the dotted keys changed, and each change noted in its sources."""
    tables = _copy(raw)
    for key, value in set.items():
        kind = _kind_of(key, tables, place(key))
        value = schema.parsed(value, kind, place(key), key) if isinstance(value, str) else value
        table: dict[str, object] = tables
        *path, last = key.split(".")
        for part in path:
            inner = table.setdefault(part, {})
            if not isinstance(inner, dict):
                raise UserError(f"{part!r} is no table", place.file, f"a table [{part}]")
            table = inner
        table[last] = value
        noted = tables.setdefault("sources", {})
        if isinstance(noted, dict) and path:
            noted[key] = "set: by whoever loaded the model"
    return tables


def _copy(tables: Mapping[str, object]) -> dict[str, object]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in tables.items()}


def _kind_of(key: str, tables: Mapping[str, object], where: str) -> inspect.Type:
    """The type of the value at a dotted key; UserError if there is no such value to set."""
    if key.partition(".")[0] == "sources":
        raise UserError("sources are not set", where, "the key of a value such as core.frequency_ghz")
    kind, here = schema.machine_fields(), tables
    for part in key.split("."):
        if isinstance(kind, inspect.DictType):
            if part not in here:
                best = schema.near(part, here)
                raise UserError(f"no table {part!r}", where, best or "one of " + ", ".join(here))
            kind = kind.value_type
        else:
            fields = schema.fields_of(kind)
            if part not in fields:
                _unknown(key, part, fields, tables, where)
            kind = fields[part].type
        inner = here.get(part)
        here = inner if isinstance(inner, Mapping) else {}
    if isinstance(kind, (inspect.StructType, inspect.DictType)):
        raise UserError("is a table", where, f"a key in it, such as {next(iter(here), 'KEY')}")
    return kind


def _unknown(
    key: str, part: str, fields: Mapping[str, inspect.Field], tables: Mapping[str, object], where: str
) -> None:
    """Raise for a part of a key; a bare last part, such as frequency_ghz, is answered with the whole key."""
    whole = [known for known in sources.flatten(tables) if known.endswith("." + key)]
    if whole or not fields:
        raise UserError(f"unknown key {key!r}", where, " or ".join(whole) if whole else "no further part")
    schema.unknown(part, fields, where)
