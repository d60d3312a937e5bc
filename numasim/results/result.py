"""The result of a run: distributions, causes, counters and loads, by group, call site and region."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from numasim.engine.output import ACCESS_CAUSES, OPERATION_CAUSES, Ints, RawResult
from numasim.errors import UserError
from numasim.results.compact import compact
from numasim.results.distribution import Distribution
from numasim.results.host import Host, measured
from numasim.results.loads import LinkLoad, MemoryLoad, gbps, link_loads, memory_loads

Of = Literal["access", "operation"]
By = Literal["group", "site", "region"]


class Group(NamedTuple):
    """What one group of threads saw."""

    name: str
    access: Distribution
    operation: Distribution | None  # None: its program has no operations
    counters: dict[str, int]
    read_gbps: float  # moved between the group's cores and memory, over the group's own time
    write_gbps: float


class TailRow(NamedTuple):
    """A part of a tail: the samples of one group, call site and region ("": of all of them)."""

    group: str
    site: str
    region: str
    samples: float  # of the tail; broken, because the bucket at the percentile is split in proportion
    share: float  # 0..1 of the tail
    share_of_all: float  # 0..1: the part of all samples, tail or not, that come from here
    mean_ns: float  # of the samples in the tail
    stack_ns: dict[str, float]  # mean nanoseconds by cause; sums to mean_ns


class Thread(NamedTuple):
    """A thread of the simulated program."""

    cpu: int
    group: str


class Timeline(NamedTuple):
    """When things began and ended: operations or, where no thread has any, accesses that left their core.

    At most 20,000 are kept. If there were more, `every` is a power of two: of each thread, its first and then every so
    many are here. The others are in the distributions all the same.
    """

    what: str  # "operation" or "access"
    every: int  # 1: all of them
    thread: Ints  # [spans] index into Result.threads
    begin_ps: Ints  # [spans] since counting began
    end_ps: Ints  # [spans]
    name: Ints  # [spans] index into names
    names: list[str]  # of operations the group; of accesses "site, region", after the group if there are several


class Result:
    """What a run returned. Everything is of all groups together unless it says a group."""

    def __init__(
        self,
        raw: RawResult,
        sites: Sequence[Sequence[str]],
        regions: Sequence[str],
        provenance: Mapping[str, Any],
        host: Host | None = None,
    ) -> None:
        """sites: the call sites' names a group, by number; regions: names by id; host: None to measure it now.

        provenance: `version`, `configuration`, `seed`, `host`, and if wished `title` (what was run, one line)
        and `notes` (lines to print under it).
        """
        self.raw = compact(raw)
        self.sites = [list(names) for names in sites]
        self.regions = list(regions)
        self.provenance = dict(provenance)
        self.host = host or measured(raw.cpu_s, raw.accesses_simulated)

    @cached_property
    def access(self) -> Distribution:
        """Latencies of memory accesses: from the moment the address is known to the data."""
        return self._accesses(range(len(self.raw.classes)))

    @cached_property
    def operation(self) -> Distribution | None:
        """Latencies of operations, or None if the programs have none."""
        return self._operations(range(len(self.raw.groups)))

    @cached_property
    def groups(self) -> dict[str, Group]:
        """The groups of threads by name."""
        return {name: self._group(number) for number, name in enumerate(self.raw.groups)}

    @cached_property
    def counters(self) -> dict[str, int]:
        """Events under perf's names."""
        return self._counters(range(len(self.raw.classes)))

    def to_pandas(self) -> Any:
        """A tidy pandas.DataFrame of percentiles and causes: see exports.frames."""
        from numasim.results.exports.frames import to_pandas

        return to_pandas(self)

    def to_xarray(self) -> Any:
        """An xarray.Dataset of all that was counted: see exports.frames."""
        from numasim.results.exports.frames import to_xarray

        return to_xarray(self)

    @cached_property
    def links(self) -> list[LinkLoad]:
        """Every direction of every edge of the fabric."""
        return link_loads(self.raw)

    @cached_property
    def memory(self) -> list[MemoryLoad]:
        """The memory of every node."""
        return memory_loads(self.raw)

    @cached_property
    def threads(self) -> list[Thread]:
        """The threads in the order of their numbers; empty if the result is from an older file."""
        return [Thread(cpu, self.raw.groups[group]) for cpu, group in self.raw.threads]

    @cached_property
    def timeline(self) -> Timeline | None:
        """When operations or accesses began and ended, or None if that was not asked for (run(..., timeline=True))."""
        raw = self.raw.timeline
        if raw is None:
            return None
        names = list(self.raw.groups)
        if raw.what == "access":
            by: tuple[By, ...] = ("group", "site", "region") if len(names) > 1 else ("site", "region")
            names = [", ".join(part for part in self._key(key, by) if part) for key in self.raw.classes]
        return Timeline(*raw, names)

    @property
    def simulated_ns(self) -> float:
        """Length of the counted stretch in the machine's time."""
        return self.raw.simulated_ps / 1000

    @property
    def partial(self) -> bool:
        """Whether the run was stopped before its end."""
        return self.raw.partial

    def stack(self, above: float = 99.9, group: str | None = None, of: Of = "access") -> dict[str, float]:
        """Mean nanoseconds by cause of everything at or above a percentile (`above=0`: of everything).

        The values sum to the mean latency of that tail. Raises UserError for an unknown group, a percentile
        out of range, or operations of programs that have none.
        """
        return self.distribution(of, group).tail_stack_ns(above)

    def distribution(self, of: Of = "access", group: str | None = None) -> Distribution:
        """The latencies of accesses or operations, of all groups or one. Raises UserError as `stack` does."""
        part: Result | Group = self if group is None else self.groups[self._named(group)]
        found = part.access if of == "access" else part.operation
        if of not in ("access", "operation") or found is None:
            where = f"group {group}" if group else ""
            raise UserError(f"no {of}s were counted", where, "access, or a workload whose laps are cut into operations")
        return found

    def tail(
        self,
        above: float = 99.9,
        group: str | None = None,
        of: Of = "access",
        by: Iterable[By] = ("group", "site", "region"),
    ) -> list[TailRow]:
        """What everything at or above a percentile consists of, the largest part first.

        The percentile is that of all (or the group's) samples, so the rows together are exactly the tail that
        `stack` averages. Operations have no call site and no region. Raises UserError as `stack` does.
        """
        whole, by = self.distribution(of, group), tuple(by)
        rows = self.raw.access_rows if of == "access" else self.raw.op_rows
        keys = [self._key(c, by) for c in self.raw.classes] if of == "access" else self._group_keys(by)
        members: dict[tuple[str, str, str], list[int]] = {}
        for number in self._members(of, group):
            members.setdefault(keys[number], []).append(number)
        tail, shares = whole.tail_count(above), whole.tail_shares(above)
        found = []
        for key, numbers in members.items():
            mine = rows[numbers].sum(axis=0)
            count = float(shares @ mine[:, -1])
            if count > 0:
                means = shares @ mine[:, :-1] / count / 1000
                stack = dict(zip(whole.causes, means.tolist(), strict=True))
                in_all = int(mine[:, -1].sum()) / whole.count
                found.append(TailRow(*key, count, count / tail, in_all, float(means.sum()), stack))
        return sorted(found, key=lambda row: (-row.samples, row[:3]))

    def counters_by(self, by: By) -> dict[str, dict[str, int]]:
        """Events under perf's names by group, call site or region. Sites of the same name count as one."""
        members: dict[str, list[int]] = {}
        for number, key in enumerate(self.raw.classes):
            members.setdefault("".join(self._key(key, (by,))), []).append(number)
        return {name: self._counters(numbers) for name, numbers in members.items()}

    def _members(self, of: Of, group: str | None) -> list[int]:
        """Numbers of the classes (of operations: groups) that belong to a group."""
        owners = [c[0] for c in self.raw.classes] if of == "access" else list(range(len(self.raw.groups)))
        return [number for number, owner in enumerate(owners) if group is None or self.raw.groups[owner] == group]

    def _group(self, number: int) -> Group:
        raw = self.raw
        classes = [i for i, c in enumerate(raw.classes) if c[0] == number]
        sizes, time = (raw.group_read_bytes, raw.group_write_bytes), int(raw.group_time_ps[number])
        read, write = (gbps(int(size[number]), time) for size in sizes)
        name, operations = raw.groups[number], self._operations([number])
        return Group(name, self._accesses(classes), operations, self._counters(classes), read, write)

    def _accesses(self, classes: Sequence[int]) -> Distribution:
        raw = self.raw
        return self._merged(raw.access_rows, raw.access_min_ps, raw.access_max_ps, classes, ACCESS_CAUSES)

    def _operations(self, groups: Sequence[int]) -> Distribution | None:
        raw = self.raw
        found = self._merged(raw.op_rows, raw.op_min_ps, raw.op_max_ps, groups, OPERATION_CAUSES)
        return found if found.count else None

    def _merged(
        self, rows: Ints, least: Ints, most: Ints, numbers: Sequence[int], causes: tuple[str, ...]
    ) -> Distribution:
        chosen = [i for i in numbers if rows[i, :, -1].any()]
        low = min((int(least[i]) for i in chosen), default=0)
        high = max((int(most[i]) for i in chosen), default=0)
        return Distribution(rows[chosen].sum(axis=0), self.raw.bucket_edges_ps, low, high, causes)

    def _counters(self, classes: Sequence[int]) -> dict[str, int]:
        totals = self.raw.counters[list(classes)].sum(axis=0, dtype=np.int64)
        return dict(zip(self.raw.event_names, totals.tolist(), strict=True))

    def _named(self, group: str) -> str:
        if group not in self.groups:
            raise UserError(f"no group {group!r} in this result", expected=" or ".join(self.groups))
        return group

    def _key(self, key: tuple[int, int, int], by: tuple[By, ...]) -> tuple[str, str, str]:
        group, site, region = key
        sites = self.sites[group] if group < len(self.sites) else []
        return (
            self.raw.groups[group] if "group" in by else "",
            _name(sites, site, "site") if "site" in by else "",
            _name(self.regions, region, "region") if "region" in by else "",
        )

    def _group_keys(self, by: tuple[By, ...]) -> list[tuple[str, str, str]]:
        return [(name if "group" in by else "", "", "") for name in self.raw.groups]


def _name(names: Sequence[str], number: int, what: str) -> str:
    if 0 <= number < len(names):
        return names[number]
    return f"{what} {number}" if number >= 0 else f"no {what}"
