"""A machine with other values: what fits and draws turn."""

from collections.abc import Mapping
from typing import Any

from numasim.machine import Machine, from_tables


def changed(machine: Machine, values: Mapping[str, float]) -> Machine:
    """The machine with these values, and its sources as they were."""
    tables: dict[str, Any] = machine.expanded()
    for key, value in values.items():
        *path, last = key.split(".")
        table = tables
        for part in path:
            table = table[part]
        table[last] = value
    return from_tables(tables, file=machine.name)


def resourced(machine: Machine, said: Mapping[str, str]) -> Machine:
    """The machine with other words about where some values come from."""
    tables: dict[str, Any] = machine.expanded()
    return from_tables({**tables, "sources": {**machine.sources, **said}}, file=machine.name)


def value_of(machine: Machine, key: str) -> float:
    """The value at a dotted key. What has no meaning there (nested walks where they are native) is the default."""
    found = machine.values().get(key)
    if found is None:
        table, name = key.split(".")
        found = getattr(getattr(machine, table), name)
    assert isinstance(found, (int, float))
    return float(found)
