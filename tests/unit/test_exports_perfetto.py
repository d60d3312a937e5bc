"""Is the trace one that Perfetto reads: tracks, times that rise, slices that nest, counters with the series' values?"""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent  # type: ignore[import-untyped]

from numasim.errors import UserError
from numasim.results import Result, json
from numasim.results.exports import perfetto
from unit.test_results_synthetic import PROVENANCE, SITES, raw_of, result_of, samples

MADE = samples(seed=21)
RESULT = result_of(MADE)


class Spans(NamedTuple):
    """A timeline as the engine notes it, but for the CPUs of its threads."""

    what: str
    every: int
    thread: npt.NDArray[np.int64]
    begin_ps: npt.NDArray[np.int64]
    end_ps: npt.NDArray[np.int64]
    name: npt.NDArray[np.int64]


def closed_loop(count: int, every: int = 1) -> Spans:
    """Two threads, each operation begins where the last one ended, in whole picoseconds."""
    rng = np.random.default_rng(4)
    lengths = rng.integers(500, 90_000, (2, count))
    ends = np.cumsum(lengths, axis=1)
    thread = np.repeat([0, 1], count)
    return Spans("operation", every, thread, (ends - lengths).ravel(), ends.ravel(), thread)


class Read:
    """The parts of a trace file, told apart by nothing but Perfetto's own message definitions."""

    def __init__(self, path: Path) -> None:
        trace = Trace()
        trace.ParseFromString(path.read_bytes())
        self.packets = list(trace.packet)
        self.tracks = {
            p.track_descriptor.uuid: p.track_descriptor for p in self.packets if p.HasField("track_descriptor")
        }
        self.names: dict[int, str] = {}
        self.events: dict[int, list[Any]] = defaultdict(list)  # (time, event) by track
        for packet in self.packets:
            for entry in packet.interned_data.event_names:
                self.names[entry.iid] = entry.name
            if packet.HasField("track_event"):
                self.events[packet.track_event.track_uuid].append((packet.timestamp, packet.track_event))

    def track(self, name: str) -> list[int]:
        return [uuid for uuid, track in self.tracks.items() if track.name == name]

    def counter(self, name: str) -> list[tuple[int, float]]:
        (uuid,) = self.track(name)
        return [(time, event.double_counter_value) for time, event in self.events[uuid]]

    def slices(self, name: str) -> list[tuple[str, int, int]]:
        """(name, begin, end) of all tracks of a name; fails where one does not end before the next begins."""
        found = []
        for uuid in self.track(name):
            events = self.events[uuid]
            assert [e.type for _, e in events] == [TrackEvent.TYPE_SLICE_BEGIN, TrackEvent.TYPE_SLICE_END] * (
                len(events) // 2
            )
            for (begin, event), (end, _) in zip(events[::2], events[1::2], strict=True):
                found.append((self.names[event.name_iid], begin, end))
        return found

    def about(self) -> dict[str, str]:
        (event,) = [e for events in self.events.values() for _, e in events if e.name == "about this trace"]
        return {annotation.name: annotation.string_value for annotation in event.debug_annotations}


def written(path: Path, timeline: Spans | None = None, result: Result = RESULT) -> tuple[Read, tuple[str, ...]]:
    told = perfetto.write(result, path, timeline, cpus=[4, 40])
    return Read(path), told


def test_every_event_is_on_a_described_track_and_times_rise(tmp_path: Path) -> None:
    read, told = written(tmp_path / "x", closed_loop(300))
    assert told == ()
    assert {packet.trusted_packet_sequence_id for packet in read.packets} == {1}
    seen: set[int] = set()
    for packet in read.packets:  # a description before the first event of its track, and parents before children
        if packet.HasField("track_descriptor"):
            assert packet.track_descriptor.parent_uuid in seen | {0}
            assert packet.track_descriptor.uuid not in seen
            seen.add(packet.track_descriptor.uuid)
        elif packet.HasField("track_event"):
            assert packet.track_event.track_uuid in seen
    for events in read.events.values():
        times = [time for time, _ in events]
        assert times == sorted(times)


def test_operations_are_slices_of_their_cpu(tmp_path: Path) -> None:
    made = closed_loop(300)
    read, _ = written(tmp_path / "x", made)
    for thread, cpu in ((0, 4), (1, 40)):
        mine = np.flatnonzero(made.thread == thread)
        name = ["chaser", "generators"][thread]
        expected = [(name, made.begin_ps[k] // 1000, made.end_ps[k] // 1000) for k in mine]
        assert read.slices(f"CPU {cpu}") == expected
    assert len(read.track("CPU 4")) == len(read.track("CPU 40")) == 1
    assert read.about()["slices"] == "1 operation in 1"


def test_a_thinned_timeline_says_so(tmp_path: Path) -> None:
    read, told = written(tmp_path / "x", closed_loop(500, every=8))
    assert len(read.slices("CPU 4") + read.slices("CPU 40")) == 1000
    assert told == (f"{tmp_path / 'x'}: one operation in 8 is shown",)
    assert read.about()["slices"] == "1 operation in 8" and read.about()["note"] == told[0]
    assert read.track("Operations, 1 in 8 shown")


def test_a_slice_takes_little_room(tmp_path: Path) -> None:
    written(tmp_path / "x", closed_loop(10_000))
    assert (tmp_path / "x").stat().st_size < 50 * 20_000


def test_operations_that_overlap_lie_on_tracks_of_their_own(tmp_path: Path) -> None:
    """As those of an open loop may, which wait from their arrival on."""
    begin = np.array([0, 1000, 2000, 9000, 9000]) * 1000
    end = np.array([5000, 3000, 8000, 9500, 9400]) * 1000
    zero = np.zeros(5, np.int64)
    read, _ = written(tmp_path / "x", Spans("operation", 1, zero, begin, end, zero))
    assert len(read.track("CPU 4")) == 3
    expected = sorted(zip((begin // 1000).tolist(), (end // 1000).tolist(), strict=True))
    assert sorted((b, e) for _, b, e in read.slices("CPU 4")) == expected


def test_accesses_have_their_call_sites_names(tmp_path: Path) -> None:
    times = np.array([0, 1000, 2000]) * 1000
    made = Spans("access", 4, np.array([0, 0, 1]), times, times + 900_000, np.array([0, 1, 2]))
    read, told = written(tmp_path / "x", made)
    assert [name for name, _, _ in read.slices("CPU 4") + read.slices("CPU 40")] == [*SITES[0], *SITES[1]]
    assert "one access in 4" in told[0] and read.track("Accesses beyond L2, 1 in 4 shown")


def test_counters_are_the_series_of_links_and_channels(tmp_path: Path) -> None:
    read, told = written(tmp_path / "x")
    assert "operations are noted while a run is simulated" in told[0]
    raw = RESULT.raw
    link = RESULT.links[0]
    values = read.counter("socket0 -> socket1 (upi)")
    assert values[0] == (0, pytest.approx(100 * link.series[0]))
    assert values[-1] == (raw.simulated_ps // 1000, 0.0)
    # the mean over time of what is drawn is the link's utilisation: 1 MB of 100 us at 60 GB/s
    drawn = sum(value * (later - time) for (time, value), (later, _) in pairwise(values))
    assert drawn / (raw.simulated_ps / 1000) == pytest.approx(100 * 1e6 / (60e9 * 100e-6), rel=1e-9)
    for k, use in enumerate(raw.channels):
        values = read.counter(f"node {use.node} channel {use.channel}")
        share = raw.channel_series[k, 0] / raw.series_bin_ps
        assert values == [(0, pytest.approx(100 * share)), (raw.simulated_ps // 1000, 0.0)]  # it never changes
    for uuid in (
        u for events in read.events.items() for u in [events[0]] if read.tracks[events[0]].HasField("counter")
    ):
        assert read.tracks[uuid].counter.unit_name == "%"
        assert {e.type for _, e in read.events[uuid]} == {TrackEvent.TYPE_COUNTER}


def test_the_trace_says_what_was_run(tmp_path: Path) -> None:
    about = written(tmp_path / "x")[0].about()
    assert about["title"] == PROVENANCE["title"]
    assert (about["version"], about["seed"]) == ("0.1", "1")
    assert "teaching-2s" in about["configuration"] and "nanoseconds" in about["clock"]


def test_a_result_from_a_file_has_the_same_counters(tmp_path: Path) -> None:
    written(tmp_path / "x")
    written(tmp_path / "y", result=json.loads(json.dumps(RESULT)))
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes().replace(b"/y:", b"/x:")


def test_nothing_to_show_is_a_line(tmp_path: Path) -> None:
    raw = raw_of(MADE)._replace(
        links=[], link_series=np.zeros((0, 0), np.int64), channels=[], channel_series=np.zeros((0, 0), np.int64)
    )
    with pytest.raises(UserError, match="no operations, links or channels"):
        written(tmp_path / "x", result=Result(raw, [["a", "b"], ["c"]], ["d"], PROVENANCE))
    assert not list(tmp_path.iterdir())
