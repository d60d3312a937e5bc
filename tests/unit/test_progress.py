"""Is a run's progress told truly, seldom enough, and does Ctrl-C leave what there is?"""

import itertools
import json
import math
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

import numasim
from numasim.engine import running, simulate
from numasim.engine.running import Pulse, Running
from numasim.results import json as stored
from numasim.study.run import narrator

CHASE = {"size": "64KiB", "accesses": 40_000, "membind": 1}
INTERRUPTED = """
import os, signal, sys
from numasim.cli import app
from numasim.engine import running, simulate
from numasim.study import run

running.SHARE, simulate.SLICE = 0, 20_000
Pulse = simulate.Pulse
simulate.Pulse = lambda run, tell: Pulse(run, tell, 0.0)

def narrator(tell):
    def progress(now):
        if now.done > 0.6:
            os.kill(os.getpid(), signal.SIGINT)
    return progress

run.narrator = narrator
app.main(sys.argv[1:])
"""


def followed(monkeypatch: pytest.MonkeyPatch, **words: Any) -> tuple[Any, list[Running]]:
    """The result of a run, and how far it was told to be, every few thousand events."""
    told: list[Running] = []
    monkeypatch.setattr(simulate, "SLICE", 5_000)
    monkeypatch.setattr(simulate, "Pulse", lambda run, tell: Pulse(run, tell, 0.0))
    monkeypatch.setattr(running, "SHARE", 0)
    monkeypatch.setattr("numasim.study.run.narrator", lambda tell: told.append)
    return numasim.run("teaching-2s", "chase", **(CHASE | words)), told


@pytest.mark.parametrize("scheduler", ["compiled", "simpy"])
def test_accesses_and_share_rise_to_the_end(monkeypatch: pytest.MonkeyPatch, scheduler: str) -> None:
    accesses = 40_000 if scheduler == "compiled" else 3_000
    result, told = followed(monkeypatch, scheduler=scheduler, accesses=accesses)
    assert len(told) > 5
    assert [r.accesses for r in told] == sorted(r.accesses for r in told)
    whole = result.raw.accesses_simulated
    for r in told:
        assert r.done == pytest.approx(r.accesses / whole, abs=0.01)
    assert whole * 0.8 < told[-1].accesses <= whole


def test_running_percentiles_are_those_of_what_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    result, told = followed(monkeypatch, accesses=200_000)
    last = told[-1]
    assert last.p50_ns == pytest.approx(result.access.percentile(50), rel=0.02)
    assert last.p99_ns == pytest.approx(result.access.percentile(99), rel=0.02)


def test_l1_hits_that_are_only_counted_are_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    _, told = followed(monkeypatch, size="1KiB", accesses=2_000_000)
    assert told[-1].p50_ns == pytest.approx(1.0, abs=0.55), "one cycle; all below 1.024 ns share a bucket"
    assert told[-1].accesses > 1_000_000


def test_it_is_told_seldom_and_in_a_hundredth_of_the_time() -> None:
    """A clock that stands but for what telling takes: 20 ms each time."""
    clock = [100.0]
    told: list[float] = []

    def tell(_: Running) -> None:
        told.append(clock[0])
        clock[0] += 0.020

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running.time, "perf_counter", lambda: clock[0])
        patch.setattr(running, "running", lambda run, m: None)
        pulse = Pulse(None, tell)
        while clock[0] < 130:
            pulse(None)  # type: ignore[arg-type]
            clock[0] += 0.001
    assert told[0] >= 100.25
    gaps = [b - a for a, b in itertools.pairwise(told)]
    assert gaps and min(gaps) >= 2.0 and max(gaps) < 2.1


def test_words_of_a_run() -> None:
    told: list[tuple[str, float]] = []
    progress = narrator(lambda what, done: told.append((what, done)))
    progress(Running(0.1, 1000, math.nan, math.nan))
    progress(Running(0.5, 1_234_567, 101.2, 250.0))
    assert told[0] == ("1,000 accesses", 0.1)
    what, done = told[1]
    assert done == 0.5
    assert what.startswith("1,234,567 accesses, ") and what.endswith("/s, p50 101.2 ns, p99 250.0 ns")


@pytest.mark.parametrize("scheduler", ["compiled", "simpy"])
def test_ctrl_c_leaves_what_there_is(scheduler: str) -> None:
    words = ["run", "teaching-2s", "chase", "size=64KiB", "accesses=30000", "--scheduler", scheduler, "--json"]
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, *words], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (130, "numasim: interrupted\n")
    found = json.loads(done.stdout)
    jsonschema.validate(found, stored.schema())
    assert found["partial"] is True
    assert 10_000 < found["access"]["count"] < 30_000
    assert stored.loads(done.stdout).partial


def test_a_whole_run_is_not_partial() -> None:
    result = numasim.run("teaching-2s", "chase", size="16KiB", accesses=1000)
    assert stored.to_dict(result)["partial"] is False
