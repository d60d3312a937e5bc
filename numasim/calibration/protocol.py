"""Protocols: what is measured, as data (TOML), and the plan the native program reads.

[defaults]
ms = 2                       # keys of every run that does not have them itself
[[run]]
experiment = "chase"
size = ["16k", "2*l3"]       # a run for each value; several lists: for each combination
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from numasim.assets import shipped
from numasim.errors import UserError

REPETITIONS = 5  # of the native program, where neither run nor defaults have them
LEAST_A_ROUND = 3
_TABLES = ("name", "defaults", "run")
_WORD = re.compile(r"[A-Za-z0-9_.:*+-]+")


class Protocol(NamedTuple):
    """runs: of each line, the experiment and the values of its keys, as words."""

    name: str
    runs: list[tuple[str, dict[str, list[str]]]]

    def only(self, experiments: Sequence[str]) -> "Protocol":
        """The protocol cut down to some experiments. Raises UserError for one it does not have."""
        known = list(dict.fromkeys(experiment for experiment, _ in self.runs))
        for name in experiments:
            if name not in known:
                raise UserError(
                    f"no experiment {name!r} in protocol {self.name}", "--only", "one of " + ", ".join(known)
                )
        return Protocol(self.name, [run for run in self.runs if not experiments or run[0] in experiments])

    def plan(self, rounds: int = 1) -> str:
        """The lines the native program reads; repetitions are shared out among the rounds, at least three in each."""
        lines = []
        for experiment, keys in self.runs:
            words = {**keys, "repetitions": [_shared(keys.get("repetitions", [str(REPETITIONS)]), rounds)]}
            if rounds == 1 and "repetitions" not in keys:
                del words["repetitions"]
            lines.append(" ".join([experiment, *(f"{key}={','.join(values)}" for key, values in words.items())]))
        return "\n".join(lines) + "\n"


def _shared(repetitions: Sequence[str], rounds: int) -> str:
    total = int(repetitions[0])
    return str(max(min(total, LEAST_A_ROUND), -(-total // rounds)))


def digest(plan: str) -> str:
    """SHA-256 of a plan, as a file names what it was measured by."""
    return hashlib.sha256(plan.encode()).hexdigest()


def names() -> list[str]:
    """The shipped protocols."""
    return sorted(path.stem for path in shipped("calibration/protocols").glob("*.toml"))


def load(name_or_path: str) -> Protocol:
    """A shipped protocol by its name, or one in a file (a path with / or ending in .toml). Raises UserError."""
    path, shown = Path(name_or_path), name_or_path
    if "/" not in name_or_path and not name_or_path.endswith(".toml"):
        if name_or_path not in names():
            raise UserError(f"no protocol {name_or_path!r}", "--protocol", ", ".join(names()) + ", or a TOML file")
        path = shipped("calibration/protocols") / f"{name_or_path}.toml"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(error.strerror or "cannot be read", shown, "a protocol in TOML") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"is not TOML: {error}", shown, "a protocol in TOML") from None
    return from_tables(tables, path.stem, shown)


def from_tables(tables: Mapping[str, object], name: str, where: str) -> Protocol:
    """A protocol from the tables of its file; `where` is what errors call it."""
    for key in tables:
        if key not in _TABLES:
            raise UserError(f"unknown table or key {key!r}", where, "[defaults] and [[run]]")
    defaults = _keys(tables.get("defaults", {}), f"{where}: defaults")
    runs = tables.get("run")
    if not isinstance(runs, list) or not runs:
        raise UserError("has no [[run]]", where, "one at least")
    found = []
    for number, run in enumerate(runs, 1):
        place = f"{where}: [[run]] number {number}"
        keys = _keys(run, place)
        experiment = keys.pop("experiment", [])
        if len(experiment) != 1:
            raise UserError("experiment is missing", place, 'a name, such as experiment = "chase"')
        keys = {**defaults, **keys}
        for key, values in keys.items():
            if key == "repetitions" and (len(values) > 1 or not values[0].isdecimal() or int(values[0]) < 1):
                raise UserError(f"repetitions = {', '.join(values)}", place, "one whole number, 1 at least")
        found.append((experiment[0], keys))
    return Protocol(str(tables.get("name", name)), found)


def _keys(table: object, where: str) -> dict[str, list[str]]:
    if not isinstance(table, Mapping):
        raise UserError("is no table", where, 'keys and values, such as size = "64m"')
    found = {}
    for key, value in table.items():
        values = value if isinstance(value, list) else [value]
        for one in values:
            fits = isinstance(one, int | str) and not isinstance(one, bool) and _WORD.fullmatch(str(one))
            if not fits or not re.fullmatch(r"[a-z0-9_]{1,20}", key):
                raise UserError(f"{key} = {one!r}", where, "a whole number or a word, or a list of them")
        if not values:
            raise UserError(f"{key} is an empty list", where, "one value at least")
        found[key] = [str(one) for one in values]
    return found
