"""A run as a timeline for ui.perfetto.dev: what each CPU did as slices, links and memory channels as counters.

The file is a Perfetto protobuf trace (perfetto.dev, "Converting arbitrary timestamped data to Perfetto"). Its clock is
the simulated machine's, in nanoseconds from where counting began, rounded down. A counter is the share of time that a
link or a channel was busy, in per cent, bin by bin.

The slices are operations, or where a program has none, accesses that left their core. The engine keeps so many of them;
of a longer run it keeps one in N of each thread. That it does, and what was run, stands in the event "about this trace"
at the beginning.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from numasim.engine.output import Ints
from numasim.errors import UserError
from numasim.results.files import replacing
from numasim.results.json import text_of
from numasim.results.result import Result

WRITER = 1  # all packets are of one sequence
ABOUT, CPUS, LINKS, MEMORY, FIRST = 1, 2, 3, 4, 16  # numbers of tracks; those below are counted from FIRST
PLURALS = {"operation": "Operations", "access": "Accesses beyond L2"}


class Timeline(Protocol):
    """When things began and ended, as the engine notes it if it is asked to.

    what: "operation" or "access". every: one of how many was kept. thread, begin_ps, end_ps, name [spans]: which thread
    did it, since counting began; of operations the number of the group, of accesses that of the class.
    """

    @property
    def what(self) -> str:
        """The kind of all spans."""

    @property
    def every(self) -> int:
        """1: all of them."""

    @property
    def thread(self) -> Ints:
        """Index into the run's threads."""

    @property
    def begin_ps(self) -> Ints:
        """From where counting began."""

    @property
    def end_ps(self) -> Ints:
        """Not before begin_ps."""

    @property
    def name(self) -> Ints:
        """Index into the result's groups or classes."""


class _Slices(NamedTuple):
    """Spans in order of their begin. lane: 0, or higher where one begins before those of its CPU have ended."""

    what: str
    cpu: Ints
    lane: Ints
    begin_ns: Ints
    end_ns: Ints
    name: list[str]
    every: int


def write(
    result: Result, path: str | Path, timeline: Timeline | None = None, cpus: Sequence[int] = ()
) -> tuple[str, ...]:
    """Write the trace, all or nothing. timeline, cpus of its threads: the run's own if not given.

    Returns what the user should be told: what is thinned, what is not in it. Raises UserError if there is nothing to
    show, or no place.
    """
    from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder

    if timeline is None:
        timeline = getattr(result.raw, "timeline", None)
        cpus = [thread.cpu for thread in getattr(result.raw, "threads", ())]
    slices = None if timeline is None else _slices(result, timeline, cpus)
    counters = [*_link_counters(result), *_channel_counters(result)]
    if slices is None and not counters:
        raise UserError("no operations, links or channels to show", str(path), "a run that counts something")
    told = _told(str(path), slices)
    with replacing(path) as beside, beside.open("wb") as file:
        builder = StreamingTraceProtoBuilder(file)
        packets = _Packets(builder.create_packet)
        for packet in packets.all(result, slices, counters, told):
            builder.write_packet(packet)
    return told


def _told(path: str, slices: _Slices | None) -> tuple[str, ...]:
    if slices is None:
        return (f"{path}: links and memory only; operations are noted while a run is simulated, not in its result",)
    if slices.every > 1:
        return (f"{path}: one {slices.what} in {slices.every:,} is shown",)
    return ()


# ---- what is shown -------------------------------------------------------------------------------------------------


def _slices(result: Result, timeline: Timeline, cpus: Sequence[int]) -> _Slices:
    order = np.lexsort((timeline.end_ps, timeline.begin_ps))
    cpu = np.asarray(cpus, np.int64)[timeline.thread[order]]
    begin, end = timeline.begin_ps[order] // 1000, timeline.end_ps[order] // 1000
    names = result.raw.groups if timeline.what == "operation" else [_site(result, c) for c in result.raw.classes]
    called = [names[k] for k in timeline.name[order].tolist()]
    return _Slices(timeline.what, cpu, _lanes(cpu, begin, end), begin, end, called, timeline.every)


def _site(result: Result, key: tuple[int, int, int]) -> str:
    group, site, _ = key
    sites = result.sites[group] if group < len(result.sites) else []
    return sites[site] if site < len(sites) else f"site {site}"


def _lanes(cpu: Ints, begin: Ints, end: Ints) -> Ints:
    """For each span the first lane of its CPU in which the one before has ended: slices of a track must not overlap,
    which accesses do, and operations with arrivals of their own."""
    busy_until: dict[int, list[int]] = {}
    lanes = np.zeros(len(cpu), np.int64)
    for k, (which, first, last) in enumerate(zip(cpu.tolist(), begin.tolist(), end.tolist(), strict=True)):
        until = busy_until.setdefault(which, [])
        lane = next((i for i, free in enumerate(until) if free <= first), len(until))
        until[lane : lane + 1] = [last]
        lanes[k] = lane
    return lanes


class _Counter(NamedTuple):
    """A series over time. parent: LINKS or MEMORY. share: busy share of each bin; begin_ns: of each bin."""

    parent: int
    name: str
    begin_ns: Ints
    share: npt.NDArray[np.float64]


def _link_counters(result: Result) -> Iterator[_Counter]:
    begins = np.arange(result.raw.link_series.shape[1]) * result.raw.series_bin_ps // 1000
    for link in result.links:
        yield _Counter(LINKS, f"{link.source} -> {link.target} ({link.link})", begins, link.series)


def _channel_counters(result: Result) -> Iterator[_Counter]:
    raw = result.raw
    starts = np.arange(raw.channel_series.shape[1], dtype=np.int64) * raw.series_bin_ps
    lengths = np.clip(raw.simulated_ps - starts, 1, max(raw.series_bin_ps, 1))  # the last bin ends with the run
    for use, busy in zip(raw.channels, raw.channel_series, strict=True):
        yield _Counter(MEMORY, f"node {use.node} channel {use.channel}", starts // 1000, busy / lengths)


# ---- packets -------------------------------------------------------------------------------------------------------


class _Packets:
    """The packets of a trace, made one by one. new: an empty one."""

    def __init__(self, new: Any) -> None:
        from perfetto.protos.perfetto.trace import perfetto_trace_pb2

        self._new, self._proto = new, perfetto_trace_pb2
        self._next = FIRST

    def all(
        self, result: Result, slices: _Slices | None, counters: list[_Counter], told: tuple[str, ...]
    ) -> Iterator[Any]:
        """Every packet, in an order Perfetto takes: descriptions first, each track in order of time."""
        yield from self._about(result, slices, told)
        if slices is not None:
            yield from self._lanes(slices)
        for parent, title in ((LINKS, "Links, busy"), (MEMORY, "Memory channels, busy")):
            mine = [counter for counter in counters if counter.parent == parent]
            if mine:
                yield self._track(title, parent)
            for rank, counter in enumerate(mine):
                yield from self._counter(counter, rank, int(result.raw.simulated_ps) // 1000)

    def _packet(self) -> Any:
        packet = self._new()
        packet.trusted_packet_sequence_id = WRITER
        return packet

    def _track(self, name: str, number: int = 0, parent: int = 0, rank: int = 0, counter: bool = False) -> Any:
        """The description of a track; number 0: the next free one. The tracks below it stand in order of their rank."""
        packet = self._packet()
        track = packet.track_descriptor
        track.name = name
        track.uuid = number or self._next
        self._next += 0 if number else 1
        track.child_ordering = track.EXPLICIT
        if parent:
            track.parent_uuid, track.sibling_order_rank = parent, rank
        if counter:
            track.counter.unit_name = "%"
        return packet

    def _event(self, track: int, kind: int, at_ns: int) -> Any:
        packet = self._packet()
        packet.timestamp = at_ns
        packet.track_event.type, packet.track_event.track_uuid = kind, track
        return packet

    def _about(self, result: Result, slices: _Slices | None, told: tuple[str, ...]) -> Iterator[Any]:
        """The event that says what this is."""
        yield self._track("numasim", ABOUT)
        packet = self._event(ABOUT, self._proto.TrackEvent.TYPE_INSTANT, 0)
        packet.track_event.name = "about this trace"
        provenance = result.provenance
        said: dict[str, str] = {key: str(provenance[key]) for key in ("title", "version", "seed") if key in provenance}
        said |= {"clock": "nanoseconds of the simulated machine, from where counting began"}
        said |= {"note": "; ".join(told)} if told else {}
        said |= {"slices": f"1 {slices.what} in {slices.every}"} if slices is not None else {}
        said |= {"partial": "stopped before its end"} if result.partial else {}
        said |= {"configuration": text_of(provenance.get("configuration", {}))}
        for name, value in said.items():
            annotation = packet.track_event.debug_annotations.add()
            annotation.name, annotation.string_value = name, value
        yield packet

    def _lanes(self, slices: _Slices) -> Iterator[Any]:
        shown = f", 1 in {slices.every} shown" if slices.every > 1 else ""
        yield self._track(f"{PLURALS[slices.what]}{shown}", CPUS)
        names = {name: k for k, name in enumerate(dict.fromkeys(slices.name), 1)}
        packet = self._packet()
        packet.sequence_flags = packet.SEQ_INCREMENTAL_STATE_CLEARED
        for name, number in names.items():
            interned = packet.interned_data.event_names.add()
            interned.iid, interned.name = number, name
        yield packet
        lanes = sorted(set(zip(slices.cpu.tolist(), slices.lane.tolist(), strict=True)))
        for rank, (cpu, lane) in enumerate(lanes):
            described = self._track(f"CPU {cpu}", parent=CPUS, rank=rank)
            yield described
            mine = np.flatnonzero((slices.cpu == cpu) & (slices.lane == lane)).tolist()
            yield from self._slices(slices, mine, described.track_descriptor.uuid, names)

    def _slices(self, slices: _Slices, mine: list[int], track: int, names: dict[str, int]) -> Iterator[Any]:
        kinds = self._proto.TrackEvent
        for k in mine:
            begin = self._event(track, kinds.TYPE_SLICE_BEGIN, int(slices.begin_ns[k]))
            begin.track_event.name_iid = names[slices.name[k]]
            begin.sequence_flags = begin.SEQ_NEEDS_INCREMENTAL_STATE
            yield begin
            yield self._event(track, kinds.TYPE_SLICE_END, int(slices.end_ns[k]))

    def _counter(self, counter: _Counter, rank: int, end_ns: int) -> Iterator[Any]:
        """Its values where they change, and nothing after the end."""
        described = self._track(counter.name, parent=counter.parent, rank=rank, counter=True)
        yield described
        values = [*counter.share.tolist(), 0.0]
        times = [*counter.begin_ns.tolist(), max(end_ns, *counter.begin_ns.tolist(), 0)]
        for k, (at_ns, value) in enumerate(zip(times, values, strict=True)):
            if k == 0 or k == len(values) - 1 or value != values[k - 1]:
                packet = self._event(described.track_descriptor.uuid, self._proto.TrackEvent.TYPE_COUNTER, at_ns)
                packet.track_event.double_counter_value = 100 * value
                yield packet
