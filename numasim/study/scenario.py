"""A scenario: who runs what where, on which machine. From a TOML file, or from the words of a command line."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from numasim.errors import UserError
from numasim.machine import Machine
from numasim.machine import load as load_machine
from numasim.machine.schema import near
from numasim.sizes import parse_count

PLACEMENT = ("membind", "preferred", "interleave", "weighted_interleave", "localalloc")
COMMON = ("threads", "accesses", "laps", "warmup", "arrivals")  # keys every workload has
SCHEDULERS = ("compiled", "simpy")


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Threads that run one workload.

    keys: the workload's own. threads: how many (0: as many as the workload needs). accesses, laps: length of what is
    counted, all threads together (0: the default). warmup: laps before that. arrivals: "" for a closed loop, or
    "poisson:RATE/s", "fixed:RATE/s" operations of the whole group. cpunodebind, physcpubind: numactl's -N and -C.
    placement: one of PLACEMENT with its nodes. pages: 4k, 2m, 1g or thp.
    """

    name: str
    workload: str
    keys: dict[str, str] = {}
    threads: int = 0
    accesses: int = 0
    laps: int = 0
    warmup: int = 1
    arrivals: str = ""
    cpunodebind: str = ""
    physcpubind: str = ""
    placement: str = ""
    nodes: str = ""
    pages: str = "4k"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Placement and pages of the regions of a name, over their group's."""

    name: str
    placement: str = ""
    nodes: str = ""
    pages: str = ""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A run, fully told. page_tables: "" or the node of all page tables. Make one with `load` or `single`."""

    machine: Machine
    groups: tuple[Group, ...]
    regions: tuple[Rule, ...] = ()
    page_tables: str = ""
    seed: int = 1
    scheduler: str = "compiled"

    def expanded(self) -> dict[str, Any]:
        """All of it as plain values, for the provenance of a result."""
        told = {
            name: msgspec.to_builtins(getattr(self, name)) for name in ("groups", "regions", "page_tables", "scheduler")
        }
        return {"machine": self.machine.expanded(), **told}


def _policy(table: dict[str, Any], where: str) -> tuple[str, str]:
    """(placement, nodes) of a table that may have one of numactl's policies; they are taken out of it."""
    given = {word: table.pop(word) for word in PLACEMENT if word in table}
    given = {word: value for word, value in given.items() if value is not False and value is not None}
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} together", where, "one memory policy")
    for word, value in given.items():
        return word, "" if word == "localalloc" else _text(value)
    return "", ""


def _text(value: Any) -> str:
    """A value as a command line would have it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(_text(v) for v in value) if isinstance(value, list | tuple) else str(value)


def group(name: str, workload: str, words: Mapping[str, Any], where: str) -> Group:
    """A group from its words: keys of the workload, the COMMON ones, placement. Raises UserError."""
    table = dict(words)
    placement, nodes = _policy(table, where)
    own: dict[str, Any] = {
        word: _text(table.pop(word)) for word in ("cpunodebind", "physcpubind", "pages", "arrivals") if word in table
    }
    for word in ("threads", "accesses", "laps", "warmup"):
        if word in table:
            own[word] = parse_count(_text(table.pop(word)), f"{where}, key {word}")
            if own[word] == 0 and word != "warmup":
                raise UserError("0", f"{where}, key {word}", "at least 1")
    if own.get("accesses") and own.get("laps"):
        raise UserError("accesses and laps together", where, "one of them")
    keys = {key: _text(value) for key, value in table.items()}
    return Group(name=name, workload=workload, keys=keys, placement=placement, nodes=nodes, **own)


def single(machine: Machine, workload: str, words: Mapping[str, Any]) -> Scenario:
    """The scenario of `numasim run MODEL WORKLOAD ...`: one group. Raises UserError."""
    table = dict(words)
    general = {word: table.pop(word) for word in ("seed", "scheduler") if word in table}
    page_tables = _text(table.pop("page_tables", ""))
    return _checked(
        Scenario(
            machine=machine,
            groups=(group(workload, workload, table, f"workload {workload}"),),
            page_tables=page_tables,
            **general,
        )
    )


def load(
    path: str, seed: int | None = None, scheduler: str | None = None, set: Mapping[str, object] | None = None
) -> Scenario:
    """Read a scenario file. seed, scheduler, set (machine parameters) go before what it says. Raises UserError."""
    try:
        data: dict[str, Any] = tomllib.loads(Path(path).read_text())
    except OSError as e:
        raise UserError(f"cannot be read: {e.strerror}", path, "a scenario (TOML)") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UserError(f"no TOML: {e}", path, "a scenario (TOML)") from None
    known = ("machine", "set", "group", "region", "os", "seed", "scheduler", "page_tables")
    for key in data:
        if key not in known:
            raise UserError(f"unknown key {key!r}", path, near(key, known) or "one of " + ", ".join(known))
    if not isinstance(data.get("machine"), str):
        raise UserError("no machine", path, 'machine = "NAME" or a file')
    changes = {f"os.{k}": v for k, v in _tables(data, "os", path)[0].items()} if "os" in data else {}
    changes |= _tables(data, "set", path)[0] if "set" in data else {}
    machine_path = Path(path).parent / data["machine"]
    machine = load_machine(
        str(machine_path) if data["machine"].endswith(".toml") else data["machine"], set={**changes, **(set or {})}
    )
    groups = [_group(table, path, k) for k, table in enumerate(_tables(data, "group", path))]
    if len({g.name for g in groups}) < len(groups):
        raise UserError("two groups of one name", path, "a name of its own for each")
    if not groups:
        raise UserError("no [[group]]", path, "at least one")
    return _checked(
        Scenario(
            machine=machine,
            groups=tuple(groups),
            regions=tuple(_rule(table, path) for table in _tables(data, "region", path)),
            page_tables=_text(data.get("page_tables", "")),
            seed=data.get("seed", 1) if seed is None else seed,
            scheduler=data.get("scheduler", "compiled") if scheduler is None else scheduler,
        )
    )


def _tables(data: Mapping[str, Any], key: str, path: str) -> list[dict[str, Any]]:
    """The tables [key] or [[key]] of a file."""
    found = data.get(key, [])
    tables = found if isinstance(found, list) else [found]
    for table in tables:
        if not isinstance(table, dict):
            raise UserError(f"{key} is no table", path, f"[[{key}]]")
    return tables


def _group(table: dict[str, Any], path: str, k: int) -> Group:
    words = dict(table)
    workload = words.pop("workload", None)
    where = f"{path}: group {words.get('name', k)}"
    if not isinstance(workload, str):
        raise UserError("no workload", where, 'workload = "NAME"')
    name = words.pop("name", workload)
    if "cpus" in words:
        words["physcpubind"] = words.pop("cpus")
    return group(_text(name), workload, words, where)


def _rule(table: dict[str, Any], path: str) -> Rule:
    words = dict(table)
    where = f"{path}: region {words.get('name', '')}"
    placement, nodes = _policy(words, where)
    name, pages = words.pop("name", None), words.pop("pages", "")
    if words or not isinstance(name, str):
        what = f"unknown key {next(iter(words))!r}" if words else "no name"
        raise UserError(what, where, "name, pages and a memory policy")
    return Rule(name=name, placement=placement, nodes=nodes, pages=pages)


def _checked(scenario: Scenario) -> Scenario:
    """What neither the file's form nor the workload tells. Raises UserError."""
    if scenario.scheduler not in SCHEDULERS:
        raise UserError(f"unknown scheduler {scenario.scheduler!r}", "scheduler", "compiled or simpy")
    if isinstance(scenario.seed, bool) or not isinstance(scenario.seed, int) or not 0 <= scenario.seed < 2**63:
        raise UserError(f"seed {scenario.seed!r}", "seed", "a whole number from 0 up")
    return scenario
