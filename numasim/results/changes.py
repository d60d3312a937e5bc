"""What differs between two results, as plain values: configuration, percentiles with their causes, counters, loads.

Means, extremes, causes of the mean and counters are exact. A percentile is within PERCENTILE_ERROR of its sample, so
two of them may be equal although they are read as up to twice that apart: then `within_resolution` says so.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from numasim.machine.sources import flatten
from numasim.results.distribution import PERCENTILE_ERROR, Distribution
from numasim.results.percentiles import LEVELS, stacks_at
from numasim.results.result import Group, Of, Result

FEWEST = 10  # samples above a percentile, in both, for it to be worth comparing
NOT_COMPARED = ("sources", "description")  # of a machine: words about it


class Difference(NamedTuple):
    """A value of the configuration that is not the same; None where it is not there."""

    what: str
    a: Any
    b: Any


class Change(NamedTuple):
    """A latency in both results. percentile: None for the mean. causes_ns: b minus a, sums to change_ns."""

    percentile: float | None
    a_ns: float
    b_ns: float
    change_ns: float
    change_percent: float | None  # None from zero
    within_resolution: bool  # the two may as well be equal
    causes_ns: dict[str, float]


class Pair(NamedTuple):
    """A group that is in both results, under its name in each ("": all groups). access, operation: None unless both
    have them."""

    a: str
    b: str
    a_counts: dict[Of, int]
    b_counts: dict[Of, int]
    access: list[Change] | None
    operation: list[Change] | None


class Number(NamedTuple):
    """A counter, rate or share in both results."""

    name: str
    a: float
    b: float


def configuration(a: Result, b: Result) -> list[Difference]:
    """What was asked for differently: machine, groups by name, regions, seed, version; in the order of a, then b."""
    one, other = _asked(a), _asked(b)
    keys = list(dict.fromkeys([*one, *other]))
    return [Difference(key, one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)]


def _asked(result: Result) -> dict[str, Any]:
    """Everything that was asked for under the words it is told with, what people change most first."""
    provenance, found = result.provenance, dict[str, Any]()
    asked = provenance.get("configuration", {})
    groups = list(asked.get("groups", ()))
    for group in groups:
        name = f"group {group.get('name')}" if len(groups) > 1 else "group"
        found |= {f"{name} {key}": value for key, value in _group(group).items()}
    for rule in asked.get("regions", ()):
        found |= {f"region {rule.get('name')} {key}": value for key, value in _group(rule).items() if key != "name"}
    found |= {key: _plain(value) for key, value in asked.items() if key not in ("machine", "groups", "regions")}
    found |= {key: provenance.get(key) for key in ("seed", "version")} | {"partial": result.partial}
    machine = {key: value for key, value in dict(asked.get("machine", {})).items() if key not in NOT_COMPARED}
    return found | {f"machine {key}": _plain(value) for key, value in flatten(machine).items()}


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group's, or a region's, words: the workload's keys among its own, its memory policy in one."""
    own = {key: _plain(value) for key, value in group.items() if key not in ("keys", "placement", "nodes")}
    memory = " ".join(str(group[key]) for key in ("placement", "nodes") if group.get(key))
    return own | {"memory": memory} | dict(group.get("keys", {}))


def _plain(value: Any) -> Any:
    """Tuples and lists are the same once they have been through a file."""
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def matched(a: Result, b: Result) -> list[tuple[str, str]]:
    """Groups of a and of b that belong together: those of one name; or the only ones, whatever they are called. If
    there are none, ("", ""): all groups of each together."""
    if len(a.groups) == len(b.groups) == 1:
        return [(next(iter(a.groups)), next(iter(b.groups)))]
    return [(name, name) for name in a.groups if name in b.groups] or [("", "")]


def pairs(a: Result, b: Result) -> Iterator[Pair]:
    """The matched groups with what changed in them."""
    for one, other in matched(a, b):
        before, after = _counts(a, one), _counts(b, other)
        found = {of: latencies(a, b, of, one or None, other or None) for of in before if of in after}
        yield Pair(one, other, before, after, found.get("access"), found.get("operation"))


def _counts(result: Result, group: str) -> dict[Of, int]:
    """How many accesses and operations a group counted, those it has none of left out."""
    mine: Result | Group = result.groups[group] if group else result
    counts: dict[Of, int] = {"access": mine.access.count, "operation": mine.operation.count if mine.operation else 0}
    return {of: number for of, number in counts.items() if number}


def latencies(a: Result, b: Result, of: Of, one: str | None, other: str | None) -> list[Change]:
    """The mean, then every percentile that enough samples lie beyond in both. Raises UserError if there are none."""
    before, after = a.distribution(of, one), b.distribution(of, other)
    least = min(before.count, after.count)
    levels = [p for p in LEVELS if p in (0, 100) or (100 - p) / 100 * least >= FEWEST]
    stacks = zip(levels, stacks_at(a, levels, of, one), stacks_at(b, levels, of, other), strict=True)
    mean = _change(None, before.mean_ns, after.mean_ns, before.stack_ns, after.stack_ns)
    return [mean, *(_percentile(p, before, after, was, now) for p, was, now in stacks)]


def _percentile(p: float, a: Distribution, b: Distribution, was: dict[str, float], now: dict[str, float]) -> Change:
    return _change(p, a.percentile(p), b.percentile(p), was, now)


def _change(p: float | None, a_ns: float, b_ns: float, was: Mapping[str, float], now: Mapping[str, float]) -> Change:
    change = b_ns - a_ns
    is_exact = p in (None, 0, 100)
    alike = change != 0 and not is_exact and abs(change) <= PERCENTILE_ERROR * (a_ns + b_ns)
    causes = {cause: now[cause] - was[cause] for cause in was}
    return Change(p, a_ns, b_ns, change, 100 * change / a_ns if a_ns else None, alike, causes)


def counters(a: Result, b: Result) -> list[Number]:
    """Events whose number changed; an access if the runs counted different numbers of accesses."""
    per = [1, 1] if a.access.count == b.access.count else [max(r.access.count, 1) for r in (a, b)]
    names = dict.fromkeys([*a.counters, *b.counters])
    found = [Number(name, a.counters.get(name, 0) / per[0], b.counters.get(name, 0) / per[1]) for name in names]
    return [number for number in found if number.a != number.b]


def loads(a: Result, b: Result) -> list[tuple[Number, Number]]:
    """(GB/s, busy share) of each link and each node's memory whose traffic changed; 0 where one has no such thing."""
    one, other = _loads(a), _loads(b)
    found = []
    for name in dict.fromkeys([*one, *other]):
        was, now = one.get(name, (0.0, 0.0)), other.get(name, (0.0, 0.0))
        if was != now:
            found.append((Number(name, was[0], now[0]), Number(name, was[1], now[1])))
    return found


def _loads(result: Result) -> dict[str, tuple[float, float]]:
    links = {f"{x.source} -> {x.target} ({x.link})": (x.gbps, x.utilisation) for x in result.links}
    return links | {f"memory of node {m.node}": (m.read_gbps + m.write_gbps, m.utilisation) for m in result.memory}
