"""A scenario: who runs what where, on which machine. From a TOML file, or from the words of a command line."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from numasim.errors import UserError, told_in
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
    """A run, fully told. page_tables: "" or the node of all page tables. file: where it is from, which errors name.
    Make one with `load` or `single`."""

    machine: Machine
    groups: tuple[Group, ...]
    regions: tuple[Rule, ...] = ()
    page_tables: str = ""
    seed: int = 1
    scheduler: str = "compiled"
    file: str = ""

    def expanded(self) -> dict[str, Any]:
        """All of it as plain values, for the provenance of a result."""
        told = {
            name: msgspec.to_builtins(getattr(self, name)) for name in ("groups", "regions", "page_tables", "scheduler")
        }
        return {"machine": self.machine.expanded(), **told}


def _policy(table: dict[str, Any], where: str) -> tuple[str, str]:
    """(placement, nodes) of a table that may have one of numactl's policies; they are taken out of it."""
    given = {word: _given(table, word, where) for word in PLACEMENT if word in table}
    given = {word: value for word, value in given.items() if word != "localalloc" or _yes(value, where)}
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} together", where, "one memory policy")
    for word, value in given.items():
        return word, "" if word == "localalloc" else value
    return "", ""


def _given(table: dict[str, Any], word: str, where: str) -> str:
    """The text of a word, taken out of the table. Raises UserError if it is empty: that is a slip, not a default."""
    text = _text(table.pop(word))
    if not text.strip():
        raise UserError("nothing is given", f"{where}, key {word}", "a value, or no such key")
    return text


def _yes(text: str, where: str) -> bool:
    words = {"yes": True, "true": True, "no": False, "false": False}
    if text.lower() not in words:
        raise UserError(f"{text!r} is neither", f"{where}, key localalloc", "yes or no")
    return words[text.lower()]


def _text(value: Any) -> str:
    """A value as a command line would have it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(_text(v) for v in value) if isinstance(value, list | tuple) else str(value)


def group(name: str, workload: str, words: Mapping[str, Any], where: str) -> Group:
    """A group from its words: keys of the workload, the COMMON ones, placement. Raises UserError."""
    table = {word: value for word, value in words.items() if value is not None}
    placement, nodes = _policy(table, where)
    texts = ("cpunodebind", "physcpubind", "pages", "arrivals")
    own: dict[str, Any] = {word: _given(table, word, where) for word in texts if word in table}
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
    table = {word: value for word, value in words.items() if value is not None}
    where = f"workload {workload}"
    general: dict[str, Any] = {word: table.pop(word) for word in ("seed", "scheduler") if word in table}
    if str(general.get("seed")).isdecimal() and not isinstance(general["seed"], bool):  # seed=7 on a command line
        general["seed"] = int(general["seed"])
    if "page_tables" in table:
        general["page_tables"] = _given(table, "page_tables", where)
    return _checked(Scenario(machine=machine, groups=(group(workload, workload, table, where),), **general))


def load(
    path: str, seed: int | None = None, scheduler: str | None = None, set: Mapping[str, object] | None = None
) -> Scenario:
    """Read a scenario file. seed, scheduler, set (machine parameters) go before what it says. Raises UserError."""
    data = _read(path)
    known = ("machine", "set", "group", "region", "os", "seed", "scheduler", "page_tables")
    for key in data:
        if key not in known:
            raise UserError(f"unknown key {key!r}", path, near(key, known) or "one of " + ", ".join(known))
    if not isinstance(data.get("machine"), str):
        raise UserError("no machine", path, 'machine = "NAME" or a file')
    groups = [_group(table, path, k) for k, table in enumerate(_tables(data, "group", path))]
    if len({g.name for g in groups}) < len(groups):
        raise UserError("two groups of one name", path, "a name of its own for each")
    if not groups:
        raise UserError("no [[group]]", path, "at least one")
    made = Scenario(
        machine=_machine(data, path, set or {}),
        groups=tuple(groups),
        regions=_rules(data, path),
        page_tables=_given(data, "page_tables", path) if "page_tables" in data else "",
        seed=data.get("seed", 1) if seed is None else seed,
        scheduler=data.get("scheduler", "compiled") if scheduler is None else scheduler,
        file=path,
    )
    return _checked(made, [word for word, given in (("seed", seed), ("scheduler", scheduler)) if given is not None])


def _read(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as e:
        raise UserError(f"cannot be read: {e.strerror}", path, "a scenario (TOML)") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise UserError(f"no TOML: {e}", path, "a scenario (TOML)") from None


def _machine(data: Mapping[str, Any], path: str, given: Mapping[str, object]) -> Machine:
    """The machine with the changes of [os] and [set], and those `given` elsewhere, which go before."""
    own: dict[str, tuple[str, object]] = {}  # by the parameter's key: where it stands in the file, and its value
    for table, prefix in (("os", "os."), ("set", "")):
        if table in data:
            own |= {prefix + key: (f"{table}.{key}", value) for key, value in _flat(data[table], table, path)}
    name = data["machine"]
    file = str(Path(path).parent / name) if name.endswith(".toml") else name
    try:
        return load_machine(file, set={**{key: value for key, (_, value) in own.items()}, **given})
    except UserError as error:
        key = error.where.removeprefix("--set ")
        if key in given:  # the command line is wrong
            raise
        if key not in own:  # the machine, or its file
            with told_in(path):
                raise
        raise UserError(error.what, f"{path}: {own[key][0]}", error.expected) from None


def _flat(table: Any, name: str, path: str) -> Iterator[tuple[str, object]]:
    """The values of a table by their dotted keys, whether written links.upi.latency_ns = 60, with quotes around the
    key, or in a table [set.links.upi]."""
    if not isinstance(table, dict) or not table:
        raise UserError(f"{name} is {'empty' if table == {} else 'no table'}", path, f"[{name}] with values")
    for key, value in table.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{rest}", inner) for rest, inner in _flat(value, f"{name}.{key}", path))
        else:
            yield key, value


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
    where = f"{path}: group {words.get('name', workload if isinstance(workload, str) else k)}"
    if not isinstance(workload, str):
        raise UserError("no workload", where, 'workload = "NAME"')
    name = words.pop("name", workload)
    if "cpus" in words:
        words["physcpubind"] = words.pop("cpus")
    return group(_text(name), workload, words, where)


def _rules(data: Mapping[str, Any], path: str) -> tuple[Rule, ...]:
    rules = tuple(_rule(table, path) for table in _tables(data, "region", path))
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise UserError("is there twice", f"{path}: region {name}", "one [[region]] for each name")
    return rules


def _rule(table: dict[str, Any], path: str) -> Rule:
    words = dict(table)
    where = f"{path}: region {words.get('name', '')}"
    placement, nodes = _policy(words, where)
    name, pages = words.pop("name", None), _given(words, "pages", where) if "pages" in words else ""
    if words or not isinstance(name, str):
        what = f"unknown key {next(iter(words))!r}" if words else "no name"
        raise UserError(what, where, "name, pages and a memory policy")
    return Rule(name=name, placement=placement, nodes=nodes, pages=pages)


def _checked(scenario: Scenario, elsewhere: Sequence[str] = ()) -> Scenario:
    """What neither the file's form nor the workload tells. elsewhere: words that are not from the file.
    Raises UserError."""
    seed, scheduler = scenario.seed, scenario.scheduler
    with told_in("" if "scheduler" in elsewhere else scenario.file):
        if scheduler not in SCHEDULERS:
            raise UserError(f"unknown scheduler {scheduler!r}", "scheduler", "compiled or simpy")
    with told_in("" if "seed" in elsewhere else scenario.file):
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise UserError(f"seed {seed!r}", "seed", "a whole number from 0 up")
    return scenario
