"""A scenario is laid out: workloads built in memory, threads seated, their lengths and arrivals known."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numasim.errors import UserError, told_in
from numasim.memory import AddressSpace, PageMap, Placement, Region
from numasim.memory.capacity import NodeMemory, require_room
from numasim.study.scenario import Group, Scenario
from numasim.study.seats import cpus_of, placement_of
from numasim.workloads import base as workloads

DEFAULT_ACCESSES, LOADED_ACCESSES = 1_000_000, 100_000
LOWEST_RATE, HIGHEST_RATE = 1.0, 1e12  # arrivals a second: gaps, in ps, are from a second down to one


class Prepared(NamedTuple):
    """What a simulation takes. groups: names. sites: call sites' names by group. parts: the scenario's groups."""

    pagemap: PageMap
    threads: list[Any]  # engine.simulate.Thread
    groups: list[str]
    sites: list[list[str]]
    parts: list["Part"]


class GroupSpace:
    """The address space as one group sees it: a task with its policy and page size, unless a rule says otherwise.

    names: of the regions it has been given.
    """

    def __init__(self, space: AddressSpace, scenario: Scenario, group: Group, task: int) -> None:
        self._space, self._scenario, self._group, self._task = space, scenario, group, task
        self.names: set[str] = set()

    def region(self, name: str, size_bytes: int, *, touch_node: int | None = None) -> Region:
        """A region of the group. A rule for GROUP.NAME goes before one for NAME."""
        self.names.add(name)
        rules = {rule.name: rule for rule in self._scenario.regions}
        rule = rules.get(f"{self._group.name}.{name}") or rules.get(name)
        pages = (rule.pages if rule else "") or self._group.pages
        with told_in(f"region {rule.name}" if rule else ""):
            placement = placement_of(self._scenario.machine, rule) if rule else None
            return self._space.region(name, size_bytes, pages, placement, touch_node, self._task)


def arrivals(text: str, threads: int, seed: int, thread: int) -> Callable[[int], Any] | None:
    """Gaps in ps between a thread's operations, n at a time. text: "", "poisson:RATE/s" or "fixed:RATE/s", RATE being
    that of all `threads` together. Raises UserError."""
    if not text:
        return None
    found = re.fullmatch(r"(poisson|fixed):(\d+\.?\d*(?:[eE][+-]?\d+)?)([kM]?)(?:/s)?", text, re.ASCII)
    rate = float(found[2]) * {"": 1, "k": 1e3, "M": 1e6}[found[3]] if found else 0.0
    if not found or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        what = f"rate {rate:g}/s" if found else f"{text!r} is no arrival process"
        limits = f"poisson:RATE/s or fixed:RATE/s, such as poisson:50000/s, from {LOWEST_RATE:g} to {HIGHEST_RATE:g}/s"
        raise UserError(what, "arrivals", limits)
    mean = 1e12 * threads / rate
    # a counter-based stream of its own for each thread: adding a thread shifts no other's arrivals
    stream = np.random.Generator(np.random.Philox(key=[seed, 1 << 32 | thread]))
    if found[1] == "fixed":
        return lambda n: np.full(n, round(mean), np.int64)
    return lambda n: np.maximum(stream.exponential(mean, n), 1).astype(np.int64)


class Part:
    """A group with what was made of it. space: None for the first, which makes the address space."""

    def __init__(self, group: Group, scenario: Scenario, space: AddressSpace | None, taken: list[int]) -> None:
        machine = scenario.machine
        self.group = group
        self.workload = workloads.make(group.workload, group.keys)
        needed = self.workload.threads() if hasattr(self.workload, "threads") else self.workload.default_threads
        self.cpus = cpus_of(machine, group, group.threads or needed, taken)
        nodes = [machine.topology.cpu_node(cpu) for cpu in self.cpus]
        rng = np.random.Generator(np.random.Philox(key=[scenario.seed, len(taken)]))
        placement = placement_of(machine, group) or Placement()
        require_room(machine, self.workload.least_bytes(machine, len(self.cpus)), placement, bool(scenario.regions))
        if space is None:
            tables, task = _table_node(scenario), 0
            self.space = AddressSpace(machine, scenario.seed, group.pages, placement, tables, nodes[0])
        else:
            self.space, task = space, space.task(placement, nodes[0])
        self.view = GroupSpace(self.space, scenario, group, task)
        ctx = workloads.Context(machine, self.view, rng, list(range(len(self.cpus))), nodes)
        self.program = self.workload.build(ctx)
        self.notes = list(getattr(self.program, "notes", ()))


def _table_node(scenario: Scenario) -> int | None:
    """The node of all page tables, if there is one. Raises UserError."""
    if not scenario.page_tables:
        return None
    where = "page_tables" if scenario.file else "--page-tables"
    if not scenario.page_tables.isdecimal():
        raise UserError(f"{scenario.page_tables!r} is no node", where, "a node's number")
    node = int(scenario.page_tables)
    NodeMemory(scenario.machine).require([node], where)
    return node


def _lengths(part: Part) -> list[Any]:
    """How long each thread runs: what was asked for, else one lap or its share of a million accesses."""
    from numasim.engine.feed import Length

    group, threads = part.group, part.program.threads
    finite = max(1, sum(not t.endless for t in threads))
    if any(t.tokens for t in threads):  # they wait for each other: laps as many for each
        a_lap = max(1, sum(t.lap_accesses for t in threads))
        return [Length(group.warmup, 0, group.laps or -(-(group.accesses or DEFAULT_ACCESSES) // a_lap))] * len(threads)
    out = []
    for t in threads:
        accesses = -(-group.accesses // finite) if group.accesses else 0
        warmup = group.warmup
        if not group.accesses and not group.laps:
            accesses = max(t.lap_accesses, DEFAULT_ACCESSES // finite)
            if finite < len(threads):  # under load that others make: a lap would take minutes, and tell no more
                accesses, warmup = min(accesses, LOADED_ACCESSES), 0 if warmup == 1 else warmup
        out.append(Length(warmup, accesses, group.laps))
    return out


def prepare(scenario: Scenario) -> Prepared:
    """Lay a scenario out. Raises UserError."""
    from numasim.engine.simulate import Thread

    parts, pagemap = _laid_out(scenario)
    threads: list[Thread] = []
    names: list[str] = []
    sites: list[list[str]] = []
    barriers = tokens = 0
    for part in parts:
        lengths = _lengths(part)
        for k, program in enumerate(part.program.threads):
            name = part.group.name if not program.group else program.group
            if len(parts) > 1 and program.group:
                name = f"{part.group.name}.{program.group}"
            if name not in names:
                names.append(name)
                sites.append(part.program.sites)
            gaps = (
                None if program.endless else arrivals(part.group.arrivals, len(part.cpus), scenario.seed, len(threads))
            )
            if gaps is not None and not program.operations:
                raise UserError("this workload has no operations", f"group {part.group.name}, key arrivals", "none")
            threads.append(Thread(part.cpus[k], names.index(name), program, lengths[k], barriers, gaps, tokens))
        barriers += max((max(p.barriers, default=-1) + 1 for p in part.program.threads), default=0)
        tokens += max((p.tokens for p in part.program.threads), default=0)
    return Prepared(pagemap, threads, names, sites, parts)


def _laid_out(scenario: Scenario) -> tuple[list[Part], PageMap]:
    """The groups in their order, and the memory of all of them."""
    _table_node(scenario)  # a mistake in it is none of a group
    parts: list[Part] = []
    taken: list[int] = []
    for group in scenario.groups:
        with told_in(f"group {group.name}" if scenario.file else ""):
            parts.append(Part(group, scenario, parts[0].space if parts else None, taken))
        taken += parts[-1].cpus
    pagemap = parts[0].space.finish()
    _check_rules(scenario, parts)
    return parts, pagemap


def _check_rules(scenario: Scenario, parts: list[Part]) -> None:
    """A rule for a region that is not there is a slip, not a wish. Raises UserError."""
    plain = {name for part in parts for name in part.view.names}
    known = plain | {f"{part.group.name}.{name}" for part in parts for name in part.view.names}
    for rule in scenario.regions:
        if rule.name not in known:
            raise UserError(f"no region {rule.name!r}", "[[region]]", "one of " + ", ".join(sorted(plain)))


def title(scenario: Scenario, parts: list[Part]) -> str:
    """What is run, in a line."""
    told = []
    for part in parts:
        keys = "".join(f" {key}={value}" for key, value in part.group.keys.items())
        cpus = f"CPU {part.cpus[0]}" if len(part.cpus) == 1 else f"{len(part.cpus)} CPUs"
        memory = str(placement_of(scenario.machine, part.group) or "memory local").removeprefix("--")
        told.append(f"{part.group.workload}{keys} on {cpus}, {memory}, pages {part.group.pages}")
    return f"{scenario.machine.title()}: {'; '.join(told)}"
