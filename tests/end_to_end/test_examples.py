"""Does every example run, and show what its comments say it shows?"""

import json
import subprocess
import sys
from collections.abc import Callable
from os import environ
from pathlib import Path
from typing import Any

import pytest

from end_to_end.readme_blocks import ROOT, TESTED

EXAMPLES = ROOT / "examples"

Cli = Callable[..., subprocess.CompletedProcess[str]]
Value = dict[str, Any]


@pytest.fixture
def outcome(cli: Cli) -> Callable[[str], Value]:
    """outcome("placement"): the scenario run, as JSON."""

    def scenario(name: str, *options: str) -> Value:
        done = cli("run", str(EXAMPLES / f"{name}.toml"), "--json", *options)
        assert (done.returncode, done.stderr) == (0, "")
        value: Value = json.loads(done.stdout)
        return value

    return scenario


def test_every_example_has_a_test_here() -> None:
    tests = Path(__file__).read_text()
    examples = [path.stem for path in [*EXAMPLES.glob("*.toml"), *EXAMPLES.glob("lessons/*.py")]]
    assert [name for name in examples if f'"{name}' not in tests] == []
    assert len(examples) >= 5


def test_placements_side_by_side(outcome: Callable[[str], Value]) -> None:
    groups = outcome("placement")["groups"]
    local, remote, between = (groups[name]["access"] for name in ("local", "remote", "interleaved"))
    assert local["mean_ns"] < between["mean_ns"] < remote["mean_ns"]
    assert between["mean_ns"] == pytest.approx((local["mean_ns"] + remote["mean_ns"]) / 2, rel=0.02)
    assert local["stack_ns"]["link"] == 0
    # the two paths differ by the links and by the home agent at their other end
    for cause in ("l2", "l3", "memory"):
        assert remote["stack_ns"][cause] == pytest.approx(local["stack_ns"][cause], rel=0.02)


def test_a_noisy_neighbour(outcome: Callable[..., Value]) -> None:
    result = outcome("noisy_neighbour")
    chaser = result["groups"]["chaser"]["access"]
    assert chaser["stack_ns"]["memory_wait"] > 1
    assert chaser["stack_ns"]["link"] == 0, "the chaser itself stays at home"
    busiest = max(result["links"], key=lambda link: link["utilisation"])
    assert (busiest["from"], busiest["to"]) == ("socket0", "socket1"), (
        "data flows from node 0's memory to node 1's cores"
    )
    assert busiest["utilisation"] > 0.9


def test_a_lock_within_a_socket_and_across(outcome: Callable[[str], Value]) -> None:
    groups = outcome("lock_contention")["groups"]
    near, far = (groups[name]["operation"] for name in ("one socket", "two sockets"))
    assert near["count"] == far["count"] == 4 * 2000
    assert far["mean_ns"] > 1.2 * near["mean_ns"]
    assert near["stack_ns"]["link"] == 0 < far["stack_ns"]["link"]
    for operation in near, far:
        assert max(operation["stack_ns"], key=operation["stack_ns"].__getitem__) == "lock_wait"


def test_a_service_with_arrivals_and_ticks(outcome: Callable[..., Value]) -> None:
    """Sixteen ticks of 1,400 ns. An operation that is under way when one begins takes that long and more; of the seven
    that arrive in each, every one waits for the rest of it and for those before it. That is 0.14 % of the operations,
    with waits evenly from 0 to 1,400 ns: enough for the maximum, not for the 99.9th percentile."""
    result = outcome("service")
    served, calm = result["operation"], outcome("service", "--set", "os.tick_hz=0")["operation"]
    assert served["count"] == calm["count"] == 2 * 2 * 20_000
    for operation in served, calm:
        assert sum(operation["stack_ns"].values()) == pytest.approx(operation["mean_ns"])
        assert operation["min_ns"] <= operation["mean_ns"] <= operation["max_ns"]
    assert served["max_ns"] >= 1400 > calm["p999_ns"]
    assert served["p50_ns"] == pytest.approx(calm["p50_ns"], rel=0.02), "ticks are a matter of the tail"
    assert served["stack_ns"]["os"] > 0 == calm["stack_ns"]["os"]
    # what a tick has held up holds up what comes after it: more is lost than was spent in ticks
    assert served["mean_ns"] - calm["mean_ns"] > served["stack_ns"]["os"]
    ticks, queue, whole = tail(result, calm["max_ns"])
    assert ticks > 0 and ticks + queue > whole / 2, "most of what a calm service never shows is waiting"
    calm_waits = calm["stack_ns"]["os"] + calm["stack_ns"]["compute"]
    assert calm_waits < calm["mean_ns"] / 4, "which is little of an operation otherwise"


def tail(result: Value, above_ns: float) -> tuple[int, int, int]:
    """Picoseconds of the only group's operations in all buckets above a latency: in ticks, in the queue or computing,
    and all together."""
    edges, (group,) = result["detail"]["bucket_edges_ps"], result["detail"]["groups"]
    buckets = [k for k, b in enumerate(group["operation"]["bucket"]) if edges[b] >= 1000 * above_ns]
    time = {cause: sum(ps[k] for k in buckets) for cause, ps in group["operation"]["ps"].items()}
    return time["os"], time["compute"], sum(time.values())


def test_why_the_list_is_slow(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "lessons" / "why_the_list_is_slow.py")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environ | {"PYTHONPATH": TESTED},
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + 3 * 2 * 2
    assert max(map(len, lines)) < 100
    time = {tuple(line[:28].split()): float(line[28:34]) for line in lines[1:]}
    own, other = ("own", "node", "4k"), ("other", "node", "4k")
    assert time["slice", *own] < 0.2 * time["list", "in", "order", *own] < 0.2 * time["list", "shuffled", *own]
    assert 1.2 < time["list", "shuffled", *other] / time["list", "shuffled", *own] < 2
    assert time["list", "shuffled", "own", "node", "2m"] < time["list", "shuffled", *own]
