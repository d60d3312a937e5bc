"""The counted arrays as plain JSON values: the "detail" of a result file, from which everything else follows."""

from typing import Annotated, Any, Literal, cast

import msgspec
import numpy as np
import numpy.typing as npt

from numasim.engine.output import (
    ACCESS_CAUSES,
    OPERATION_CAUSES,
    ChannelUse,
    Ints,
    LinkUse,
    RawResult,
    ThreadInfo,
    Timeline,
)

VERSION = 1

Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Histogram(msgspec.Struct, forbid_unknown_fields=True):
    """The buckets in use, by columns; a cause that is zero everywhere is left out."""

    min_ps: int
    max_ps: int
    bucket: list[int]  # index into bucket_edges_ps
    count: list[int]
    ps: dict[str, list[int]]  # picoseconds by cause, one number a bucket


class Class(msgspec.Struct, forbid_unknown_fields=True):
    """What one call site of one group did in one region."""

    group: int
    site: int
    region: int  # -1: none
    access: Histogram
    counters: list[int]


class GroupDetail(msgspec.Struct, forbid_unknown_fields=True):
    """One group of threads."""

    name: str
    sites: list[str]
    operation: Histogram
    read_bytes: int
    write_bytes: int
    time_ps: int
    node_read_bytes: list[int]
    node_write_bytes: list[int]


class Series(msgspec.Struct, forbid_unknown_fields=True):
    """Occupied picoseconds a bin of time, one list a link or channel."""

    bin_ps: Whole
    links: list[list[int]]
    channels: list[list[int]]


class Spans(msgspec.Struct, forbid_unknown_fields=True):
    """A timeline, by columns."""

    what: Literal["operation", "access"]
    every: Whole
    thread: list[Whole]
    begin_ps: list[int]
    end_ps: list[int]
    name: list[Whole]


class Detail(msgspec.Struct, forbid_unknown_fields=True):
    """A RawResult and the names of its sites and regions."""

    version: int
    partial: bool
    simulated_ps: Whole
    accesses_simulated: Whole
    bucket_edges_ps: list[float]
    event_names: list[str]
    regions: list[str]
    groups: list[GroupDetail]
    classes: list[Class]
    links: list[LinkUse]
    channels: list[ChannelUse]
    series: Series
    threads: list[ThreadInfo] = []
    timeline: Spans | None = None


def to_detail(raw: RawResult, sites: list[list[str]], regions: list[str]) -> dict[str, Any]:
    """The JSON value of a compacted result."""
    groups = [
        GroupDetail(
            name,
            sites[i] if i < len(sites) else [],
            _histogram(raw.op_rows[i], raw.op_min_ps[i], raw.op_max_ps[i], OPERATION_CAUSES),
            int(raw.group_read_bytes[i]),
            int(raw.group_write_bytes[i]),
            int(raw.group_time_ps[i]),
            raw.node_read_bytes[i].tolist(),
            raw.node_write_bytes[i].tolist(),
        )
        for i, name in enumerate(raw.groups)
    ]
    classes = [
        Class(
            *key,
            _histogram(raw.access_rows[i], raw.access_min_ps[i], raw.access_max_ps[i], ACCESS_CAUSES),
            raw.counters[i].tolist(),
        )
        for i, key in enumerate(raw.classes)
    ]
    series = Series(int(raw.series_bin_ps), raw.link_series.tolist(), raw.channel_series.tolist())
    found: dict[str, Any] = msgspec.to_builtins(
        Detail(
            VERSION, raw.partial, int(raw.simulated_ps), int(raw.accesses_simulated), raw.bucket_edges_ps.tolist(),
            list(raw.event_names), regions, groups, classes, raw.links, raw.channels, series, list(raw.threads),
            _spans(raw.timeline),
        )
    )  # fmt: skip
    return found


def from_detail(detail: Detail, cpu_s: float) -> tuple[RawResult, list[list[str]], list[str]]:
    """(raw result, sites a group, regions) as they were before `to_detail`. Raises ValueError if parts do not fit."""
    if detail.version != VERSION:
        raise ValueError(f"detail version {detail.version}; this numasim reads {VERSION}")
    groups, classes, buckets = detail.groups, detail.classes, max(0, len(detail.bucket_edges_ps) - 1)
    for key in classes:
        if not 0 <= key.group < len(groups) or key.site < 0:
            raise ValueError(f"a class of group {key.group} and site {key.site}, which are not there")
    events, nodes = len(detail.event_names), len(groups[0].node_read_bytes) if groups else 0
    access, operation = [c.access for c in classes], [g.operation for g in groups]
    raw = RawResult(
        groups=[g.name for g in groups],
        classes=[(c.group, c.site, c.region) for c in classes],
        bucket_edges_ps=np.array(detail.bucket_edges_ps, dtype=np.float64),
        access_rows=_rows(access, buckets, ACCESS_CAUSES),
        access_min_ps=_ints([h.min_ps for h in access], len(access)),
        access_max_ps=_ints([h.max_ps for h in access], len(access)),
        op_rows=_rows(operation, buckets, OPERATION_CAUSES),
        op_min_ps=_ints([h.min_ps for h in operation], len(operation)),
        op_max_ps=_ints([h.max_ps for h in operation], len(operation)),
        event_names=tuple(detail.event_names),
        counters=_ints([c.counters for c in classes], len(classes), events),
        links=detail.links,
        link_series=_series(detail.series.links, len(detail.links)),
        channels=detail.channels,
        channel_series=_series(detail.series.channels, len(detail.channels)),
        series_bin_ps=detail.series.bin_ps,
        node_read_bytes=_ints([g.node_read_bytes for g in groups], len(groups), nodes),
        node_write_bytes=_ints([g.node_write_bytes for g in groups], len(groups), nodes),
        group_read_bytes=_ints([g.read_bytes for g in groups], len(groups)),
        group_write_bytes=_ints([g.write_bytes for g in groups], len(groups)),
        group_time_ps=_ints([g.time_ps for g in groups], len(groups)),
        simulated_ps=detail.simulated_ps,
        accesses_simulated=detail.accesses_simulated,
        cpu_s=cpu_s,
        partial=detail.partial,
        threads=_threads(detail),
        timeline=_timeline(detail),
    )
    return raw, [g.sites for g in groups], detail.regions


def _spans(timeline: Timeline | None) -> Spans | None:
    if timeline is None:
        return None
    what = cast(Literal["operation", "access"], timeline.what)
    return Spans(what, timeline.every, *(column.tolist() for column in timeline[2:]))


def _threads(detail: Detail) -> tuple[ThreadInfo, ...]:
    if any(not 0 <= thread.group < len(detail.groups) for thread in detail.threads):
        raise ValueError("a thread of a group that is not there")
    return tuple(detail.threads)


def _timeline(detail: Detail) -> Timeline | None:
    spans = detail.timeline
    if spans is None:
        return None
    n, names = len(spans.thread), len(detail.groups if spans.what == "operation" else detail.classes)
    if max(spans.thread, default=-1) >= len(detail.threads) or max(spans.name, default=-1) >= names:
        raise ValueError("a span of what is not there")
    columns = (spans.thread, spans.begin_ps, spans.end_ps, spans.name)
    return Timeline(spans.what, spans.every, *(_ints(column, n) for column in columns))


def _histogram(rows: Ints, least: np.int64, most: np.int64, causes: tuple[str, ...]) -> Histogram:
    used = np.flatnonzero(rows[:, -1])
    ps = {cause: rows[used, i].tolist() for i, cause in enumerate(causes) if rows[:, i].any()}
    low, high = (int(least), int(most)) if len(used) else (0, 0)
    return Histogram(low, high, used.tolist(), rows[used, -1].tolist(), ps)


def _rows(histograms: list[Histogram], buckets: int, causes: tuple[str, ...]) -> Ints:
    rows = np.zeros((len(histograms), buckets, len(causes) + 1), dtype=np.int64)
    for i, histogram in enumerate(histograms):
        places = np.array(histogram.bucket, dtype=np.int64)
        if len(places) and not 0 <= places.min() <= places.max() < buckets:
            raise ValueError("a bucket that is not there")
        rows[i, places, -1] = _ints(histogram.count, len(places))
        for cause, column in histogram.ps.items():
            rows[i, places, causes.index(cause)] = _ints(column, len(places))
    return rows


def _series(lists: list[list[int]], count: int) -> Ints:
    return _ints(lists, count, len(lists[0]) if lists else 0)


def _ints(values: npt.ArrayLike, *shape: int) -> Ints:
    """An array of exactly this shape; numpy alone would stretch a single number to fit."""
    array = np.array(values, dtype=np.int64)
    if array.size == 0 and 0 in shape:
        return np.zeros(shape, dtype=np.int64)
    if array.shape != shape:
        raise ValueError(f"numbers of shape {array.shape} where {shape} belongs")
    return array
