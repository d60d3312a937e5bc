"""Is the timeline what the distributions were made of, bounded, and fair to every thread?"""

import itertools
import json
from typing import Any

import jsonschema
import numpy as np
import pytest

import numasim
from numasim.engine import state
from numasim.errors import UserError
from numasim.results import json as stored
from numasim.results.result import Result, Timeline


def run(workload: str, **words: Any) -> tuple[Result, Timeline]:
    result = numasim.run("teaching-2s", workload, timeline=True, **words)
    assert result.timeline is not None
    return result, result.timeline


def walks(**words: Any) -> tuple[Result, Timeline]:
    """Two threads that walk a list each: an operation a walk."""
    return run("list", length=200, threads=2, laps=40, **words)


def test_every_operation_is_there_and_as_long_as_it_was() -> None:
    result, timeline = walks()
    assert result.operation is not None
    assert (timeline.what, timeline.every, len(timeline.begin_ps)) == ("operation", 1, result.operation.count)
    length = timeline.end_ps - timeline.begin_ps
    assert int(length.sum()) == result.operation.total_ps
    assert (length.min(), length.max()) == (result.operation.min_ns * 1000, result.operation.max_ns * 1000)


def test_operations_of_a_closed_loop_follow_each_other() -> None:
    result, timeline = walks()
    for thread in range(2):
        mine = np.flatnonzero(timeline.thread == thread)
        assert len(mine) == 40
        assert timeline.begin_ps[mine[0]] == 0
        assert all(timeline.end_ps[a] == timeline.begin_ps[b] for a, b in itertools.pairwise(mine))
    assert timeline.end_ps.max() <= result.simulated_ns * 1000


def test_threads_and_names(tmp_path: Any) -> None:
    result, timeline = walks(physcpubind="2,5")
    assert [thread.cpu for thread in result.threads] == [2, 5]
    assert [thread.group for thread in result.threads] == ["list", "list"]
    assert timeline.names == ["list"] and not timeline.name.any()


@pytest.mark.parametrize("scheduler", ["compiled", "simpy"])
def test_more_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch, scheduler: str) -> None:
    """Forty operations of each of two threads where sixteen have room: one in eight, the first among them."""
    _, whole = walks()
    monkeypatch.setattr(state, "SPANS", 16)
    _, few = walks(scheduler=scheduler)
    assert few.every == 8
    for thread in range(2):
        all_of_it = whole.end_ps[whole.thread == thread]
        assert few.end_ps[few.thread == thread].tolist() == all_of_it[::8].tolist()


def test_accesses_where_there_are_no_operations() -> None:
    """A cold chase: every load leaves its core, and is there with its site and region."""
    result, timeline = run("chase", size="64KiB", accesses=1000, warmup=0, pages="2m")
    assert (timeline.what, timeline.every) == ("access", 1)
    assert int((timeline.end_ps - timeline.begin_ps).sum()) == result.access.total_ps
    assert len(timeline.name) == result.access.count and len(set(timeline.name.tolist())) == 1
    site, region = timeline.names[timeline.name[0]].split(", ")
    assert site in result.sites[0] and region in result.regions


def test_what_l1_and_l2_have_is_not_in_it() -> None:
    result, timeline = run("chase", size="1KiB", accesses=5000)
    assert result.access.count == 5000 and len(timeline.thread) == 0


def test_warm_up_is_not_in_it() -> None:
    result, timeline = run("chase", size="256KiB", laps=1, warmup=2, pages="2m")
    assert len(timeline.thread) <= result.access.count
    assert timeline.begin_ps.min() >= 0


def test_it_is_off_unless_asked_for() -> None:
    assert numasim.run("teaching-2s", "chase", size="1KiB", accesses=100).timeline is None


def test_through_json_and_back() -> None:
    result, timeline = walks()
    text = stored.dumps(result)
    jsonschema.validate(json.loads(text), stored.schema())
    again = stored.loads(text)
    assert again.threads == result.threads
    assert again.timeline is not None
    for one, other in zip(again.timeline, timeline, strict=True):
        assert np.array_equal(one, other)


def test_a_file_with_spans_of_nobody_is_refused() -> None:
    result, _ = walks()
    for bad in ({"thread": [7]}, {"name": [3]}, {"begin_ps": [1, 2]}):
        value = stored.to_dict(result)
        value["detail"]["timeline"] |= {"thread": [0], "begin_ps": [0], "end_ps": [1], "name": [0]} | bad
        with pytest.raises(UserError, match="not a numasim result"):
            stored.loads(stored.text_of(value))
