"""A machine as a commented model file: each value with its unit and how it is known, as those written by hand."""

from collections.abc import Mapping

from numasim.machine import Machine
from numasim.machine.tomlout import dumps

UNITS = {
    "_ns": "ns", "_us": "us", "_ghz": "GHz", "_hz": "a second", "_bytes": "bytes", "_gbps": "GB/s", "_cycles": "cycles",
    "_bits": "bits",
}  # fmt: skip


def text(machine: Machine, head: str = "") -> str:
    """TOML that loads as this machine. head: said first, as a comment.

    Behind each value stand its unit and whether it is specified, fitted or assumed; [sources] says from where.
    """
    lines = [f"# {line}".rstrip() for line in head.splitlines()] + ([""] if head else [])
    table = ""
    for line in dumps(machine.expanded()).splitlines():
        if line.startswith("["):
            table = line.strip("[]")
        key, equals, _ = line.partition(" = ")
        if equals and table and table not in ("sources", "uncertainty"):
            line += f"   # {_remark(machine, f'{table}.{key}')}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _remark(machine: Machine, key: str) -> str:
    unit = next((unit for suffix, unit in UNITS.items() if key.endswith(suffix)), "")
    kind = machine.source(key).partition(":")[0]
    return "; ".join(part for part in (unit, kind) if part)


def kinds(machine: Machine) -> Mapping[str, int]:
    """How many values are specified, fitted, assumed."""
    found: dict[str, int] = {}
    for key in machine.values():
        kind = machine.source(key).partition(":")[0]
        found[kind] = found.get(kind, 0) + 1
    return found
