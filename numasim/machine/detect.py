"""A machine model of a computer: what it tells of itself; the rest as in the nearest shipped model, marked assumed."""

import os
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec import Struct

from numasim.errors import UserError
from numasim.machine.detect_host import Host
from numasim.machine.detect_links import Assumptions, Tables, links, memories
from numasim.machine.detect_shape import Plan, plan_of
from numasim.machine.loading import from_tables, load
from numasim.machine.model import L3, LINE_BYTES, Cache, Machine
from numasim.machine.nearest import ranked
from numasim.machine.text import size_text

MOST_WAYS, MOST_SLICES = 32, 256


class Detected(Struct, frozen=True):
    """A machine made from a host.

    base: the model the rest is taken from; distance: how far it is in steps of `nearest` (None: not shipped), why: in
    words; notes: what a reader should know, one phrase each; pages: sizes of huge pages, bytes.
    """

    machine: Machine
    base: str
    distance: float | None
    why: str
    notes: tuple[str, ...]
    pages: tuple[int, ...]

    def keys(self, kind: str) -> list[str]:
        """Dotted keys of the values whose source is of a kind: "specified" or "assumed"."""
        return [key for key in self.machine.values() if self.machine.source(key).startswith(kind)]


def model_of(host: Host, name: str, base: str | None = None, without: Collection[str] = ()) -> Detected:
    """A model of a host, called `name`. base: a model's name or file to take the rest from, instead of the nearest.
    without: shipped models to take nothing from.

    Raises UserError for a host that no model can describe.
    """
    plan = plan_of(host)
    order = [one for one in ranked(host.processor, plan) if one.machine.name not in without]
    chosen = [load(base), *(one.machine for one in order)] if base else [one.machine for one in order]
    first = next((one for one in order if one.machine == chosen[0]), None)
    distance, why = (first.distance, first.why) if first else (None, "as asked")
    told = Assumptions(host)
    tables = _values(host, plan, chosen, told, same=bool(first and first.generations == 0))
    machine = from_tables({**_about(host, plan, name, chosen[0]), **tables, "sources": told.entries}, file=host.told)
    return Detected(machine, chosen[0].name, distance, why, plan.notes, host.pages)


def _about(host: Host, plan: Plan, name: str, base: Machine) -> dict[str, object]:
    shape = plan.shape
    cores = shape.domains_per_socket * shape.cores_per_domain
    processor = host.processor.name or "unknown processor"
    nodes = len(plan.nodes) + len(plan.far)
    what = f"{shape.sockets} x {processor} ({cores} cores), {nodes} node(s), by {host.told}; the rest as {base.name}"
    return {"name": name, "description": what}


def _values(host: Host, plan: Plan, donors: Sequence[Machine], told: Assumptions, same: bool) -> Tables:
    """All tables of the machine. same: the model taken from is of this generation of processors."""
    import msgspec

    base = donors[0]
    tables: Tables = {"topology": msgspec.to_builtins(plan.shape)}
    for key in tables["topology"]:
        dotted = f"topology.{key}"
        told.assumed(dotted, plan.doubts[dotted]) if dotted in plan.doubts else told.specified(dotted)
    whole = base.expanded()
    for name in ("core", "l1d", "l2", "l3", "tlb", "prefetch", "fabric"):
        table = whole[name]
        assert isinstance(table, dict)
        tables[name] = dict(table)
        told.table(base, name, name)
    if host.clock_ghz and not same:
        tables["core"]["frequency_ghz"] = host.clock_ghz
        told.assumed("core.frequency_ghz", f"the highest by {host.told}; lower with many cores busy")
    for name, cache in (("l1d", base.l1d), ("l2", base.l2), ("l3", base.l3)):
        if name in plan.caches:
            _cache(name, cache, plan, tables[name], told)
    memory, apart = memories(host, plan, donors, told)
    tables["links"] = dict(links(host, plan, donors, apart, told))
    tables["memory"] = dict(memory)
    system = whole["os"]
    assert isinstance(system, dict)
    tables["os"] = dict(system)
    told.table(base, "os", "os")
    return tables


def _cache(name: str, base: Cache | L3, plan: Plan, table: dict[str, object], told: Assumptions) -> None:
    """Size and ways as told, and ways and slices that make a power of two of sets where they are not or cannot be."""
    told_size, ways = plan.caches[name]
    cores = plan.shape.cores_per_domain
    size = told_size - told_size % LINE_BYTES
    if 1 <= ways <= MOST_WAYS and _slices(size, ways, cores, name):
        told.specified(f"{name}.ways")
    else:
        told.assumed(f"{name}.ways", f"{ways or 'none'} told; as near to {base.ways} as makes a power of two of sets")
        size, ways = _fitting(size, base.ways, cores, name, told.host.told)
    table["size_bytes"], table["ways"] = size, ways
    doubt = plan.doubts.get(f"{name}.size_bytes", f"{told_size} bytes told" if size != told_size else "")
    told.assumed(f"{name}.size_bytes", doubt) if doubt else told.specified(f"{name}.size_bytes")
    if name == "l3":
        table["slices"] = _slices(size, ways, cores, name)
        told.assumed("l3.slices", "as near to the number of cores as makes a power of two of sets a slice")


def _fitting(size: int, ways: int, cores: int, name: str, where: str) -> tuple[int, int]:
    """Size and ways, nearest to these ways, with a power of two of sets; the size rounded down only if it must be."""
    for grain in (LINE_BYTES, 4096, 65536, 2**20):
        rounded = size - size % grain
        fitting = [each for each in range(1, MOST_WAYS + 1) if rounded and _slices(rounded, each, cores, name)]
        if fitting:
            return rounded, min(fitting, key=lambda each: (abs(each - ways), each))
    raise UserError(f"an {name.upper()} of {size} bytes", where, "a power of two of sets of 64-byte lines")


def _slices(size: int, ways: int, cores: int, name: str) -> int:
    """The number of slices nearest to the cores that makes a power of two of sets (1 if private); 0: none does."""
    sets, rest = divmod(size, LINE_BYTES * ways)
    if rest or not sets:
        return 0
    odd = sets // (sets & -sets)
    if name != "l3":
        return int(odd == 1)
    possible = [odd << power for power in range(9) if odd << power <= MOST_SLICES and sets % (odd << power) == 0]
    return min(possible, key=lambda slices: (abs(slices - cores), slices), default=0)


def write(found: Detected, path: Path) -> None:
    """Write the model's TOML, each value marked; the file is there whole or not at all. Raises UserError."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UserError("cannot be written", str(path), "a file in a folder that is there")
    try:
        handle, beside = tempfile.mkstemp(".toml", f".{path.stem}-", path.absolute().parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text_of(found))
            Path(beside).chmod(0o644)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(error.strerror or "cannot be written", str(path), "a file that can be written") from None


def text_of(found: Detected) -> str:
    """TOML of the model: a header that says what is told and what is assumed, and the mark behind each value."""
    machine = found.machine
    specified, assumed = found.keys("specified"), found.keys("assumed")
    lines = [
        f"# {machine.description}",
        "#",
        f"# {len(specified)} values are specified, {len(assumed)} assumed: [sources] says where each is from.",
        f"# The rest is as in {found.base}: {found.why}.",
        *([f"# Huge pages of the system: {', '.join(map(size_text, found.pages))}."] if found.pages else []),
        *(f"# Note: {note}." for note in found.notes),
        "",
    ]
    table = ""
    for line in machine.to_toml().splitlines():
        if line.startswith("["):
            table = line.strip("[]")
        mark = machine.source(f"{table}.{line.partition(' = ')[0]}").partition(":")[0] if table != "sources" else ""
        lines.append(f"{line}  # {mark}" if mark and " = " in line else line)
    return "\n".join(lines) + "\n"


def summary(found: Detected) -> str:
    """Sizes in a sentence, for people."""
    shape, machine = found.machine.shape, found.machine
    levels = (("L1D", machine.l1d), ("L2", machine.l2), ("L3", machine.l3))
    caches = ", ".join(f"{name} {size_text(cache.size_bytes)}" for name, cache in levels)
    return (
        f"{shape.sockets} socket(s), {machine.topology.nodes} node(s), {machine.topology.domains} L3 domain(s), "
        f"{machine.topology.cores} cores, {machine.topology.cpus} CPUs; {caches}"
    )
