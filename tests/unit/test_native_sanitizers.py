"""Does every native experiment run clean under the address and undefined-behaviour sanitizers, and print what its
documentation says?"""

import json
import math
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from numasim.calibration import native

STRICT = ["-std=c11", "-D_GNU_SOURCE", "-pthread", "-Wall", "-Wextra", "-Werror"]
SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

# a tiny run of each, and of each way through the code
TINY = [
    "clock",
    "chase size=16k",
    "chase size=16k within=page",
    "chase size=1m pages=2m",
    "stride size=16k stride=256",
    "tlb count=32",
    "tlb count=1100",
    "chains size=64k chains=1",
    "chains size=64k chains=32",
    "bandwidth cpus={cpus} size=64k",
    "bandwidth cpus={cpu} size=64k ratio=3:1",
    "bandwidth cpus={cpu} size=64k ratio=1:1",
    "loaded cpus={other} size=64k buffer=64k",
    "loaded cpus={other} size=64k buffer=64k ratio=2:1 delay=100 within=page",
    "pingpong other={other}",
    "c2c other={other} size=8k",
    "c2c other={other} size=8k state=hit",
    "split size=4k",
    "branch",
    "fault count=8",
    "fault count=2 pages=2m",
    "migrate count=8 to=1",
    "access size=16k",
    "interruptions",
    "list length=100",
    "list length=100 order=shuffled allocator=bump",
    "hash length=100",
    "hash length=100 dependent=yes allocator=bump",
    "tree length=100",
    "tree length=99 dependent=yes order=sequential allocator=bump",
    "slice length=1000",
]
PROGRAMS = ("list", "hash", "tree", "slice")
# experiment: its samples, as calibration/native/README.md lists them; those of pages=4k only
SAMPLES = {
    "clock": {"core_ghz"},
    "chase": {"latency_ns"},
    "stride": {"latency_ns"},
    "tlb": {"latency_ns", "dense_latency_ns"},
    "chains": {"step_ns"},
    "bandwidth": {"read_gbps", "write_gbps"},
    "loaded": {"latency_ns", "read_gbps", "write_gbps"},
    "pingpong": {"handover_ns"},
    "c2c": {"latency_ns"},
    "split": {"aligned_ns", "split_ns"},
    "branch": {"random_ns", "predictable_ns"},
    "fault": {"touch_ns", "again_ns"},
    "migrate": {"page_ns"},
    "access": {"mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns", "empty_p50_ns"},
    "interruptions": {"per_s", "lost_share", "p50_ns", "p99_ns", "max_ns"},
    **{name: {"operation_ns", "operation_p50_ns", "operation_p99_ns", "operation_p999_ns"} for name in PROGRAMS},
}
HISTOGRAMS = {
    "access": {"access", "empty"},
    "interruptions": {"length", "spacing"},
    **{name: {"operation"} for name in PROGRAMS},
}


@pytest.fixture(scope="module")
def sanitized(program, tmp_path_factory) -> Path:
    """The program, compiled strictly and with both sanitizers."""
    made = tmp_path_factory.mktemp("native") / "numasim-native"
    files = [str(path) for path in native.sources() if path.suffix == ".c"]
    subprocess.run([program("cc"), *STRICT, *SANITIZED, "-o", str(made), *files, "-lm"], check=True)
    return made


def called(binary: Path, words: list[str]) -> dict:
    done = subprocess.run([str(binary), *words], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-3000:]
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def host(sanitized) -> dict:
    return called(sanitized, ["host"])


@pytest.mark.parametrize("words", TINY)
def test_tiny_run_is_clean_and_complete(words, sanitized, host):
    cpus = host["allowed"]
    if "{other}" in words and len(cpus) < 2:
        cpus = [*cpus, cpus[0] + 1]  # the program then has to say that there is none
    known = {"cpu": cpus[0], "other": cpus[-1], "cpus": ",".join(map(str, {cpus[0], cpus[-1]}))}
    name, *keys = words.format(**known).split()
    node = 0 if host["can"]["mbind"] else -1
    common = [f"cpu={cpus[0]}", "ms=1", "repetitions=2"]
    no_memory = name in ("clock", "branch", "interruptions")
    found = called(sanitized, [name, *common, *([] if no_memory else [f"node={node}"]), *keys])
    assert found["experiment"] == name
    for key in keys:
        assert key.partition("=")[0] in found["keys"]
    if "skipped" in found:
        allowed = name == "migrate" or "pages=2m" in words or len(host["allowed"]) < 2
        assert allowed and len(found["skipped"]) > 10
        return
    wanted = SAMPLES[name] | {"preempted", "ran_share"} | ({"read_ns"} if words == "fault count=8" else set())
    assert set(found["samples"]) == wanted
    for values in found["samples"].values():
        assert len(values) == 2 and all(value >= 0 and math.isfinite(value) for value in values)
    assert set(found["histograms"]) == HISTOGRAMS.get(name, set())
    for histogram in found["histograms"].values():
        check_histogram(histogram)
    if not no_memory and "pages_by" in found["facts"]:
        assert found["facts"]["pages_by"] == "base" or "2m" in words
        assert found["facts"].get("node_share", 1) > 0.9


def check_histogram(found: dict) -> None:
    buckets = found["buckets"]
    assert sum(count for _, _, count in buckets) == found["count"]
    assert all(low <= high and high - low <= low / 64 for low, high, _ in buckets)
    assert all(one[1] < other[0] for one, other in pairwise(buckets))
    if found["count"]:
        assert buckets[0][0] <= found["min"] <= buckets[0][1] and buckets[-1][0] <= found["max"] <= buckets[-1][1]
        lowest = sum(low * count for low, _, count in buckets)
        highest = sum(high * count for _, high, count in buckets)
        assert lowest <= found["sum"] <= highest


def test_what_is_documented_is_what_there_is(sanitized, root):
    """The table of the README has each experiment, each of its keys and each of its samples."""
    help_text = subprocess.run([str(sanitized), "help"], capture_output=True, text=True, check=True).stdout
    readme = (root / "calibration/native/README.md").read_text()
    rows = {row[0]: row for line in readme.splitlines() if (row := re.findall(r"`([^`]+)`", line)) and line[0] == "|"}
    lines = help_text.splitlines()[2:]
    names = [line.split()[0] for line in lines[::2]]
    assert set(names) == set(SAMPLES)
    common = ["cpu", "repetitions", "ms", "node", "pages", "seed"]
    for name, keys in zip(names, lines[1::2], strict=True):
        told = " ".join(rows[name]) if name in rows else ""
        for key in keys.split():
            word = key.partition("=")[0]
            assert word in common or f"{word}=" in told, f"{name}: key {word}"
        for sample in SAMPLES[name]:
            assert sample in told or sample in readme, f"{name}: sample {sample}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chase", "size=-1"], "size=-1: a whole number from 64 to"),
        (["chase", "size=1x"], "size=1x: a whole number"),
        (["chase", "pages=3m"], "pages=3m: one of 4k, 2m, 1g was expected"),
        (["chase", "sise=1k"], "unknown key sise"),
        (["chase", "size"], "size is no KEY=VALUE"),
        (["chase", "within=page", "size=64"], "whole pages of 4096 bytes"),
        (["stride", "stride=100"], "stride=100: a multiple of 64"),
        (["bandwidth", "ratio=1:2"], "ratio=1:2"),
        (["bandwidth", "cpus=x"], "cpus=x: a list"),
        (["chains", "chains=33"], "chains=33: a whole number from 1 to 32"),
        (["nothing"], "unknown experiment nothing"),
        (["plan"], "a file was expected"),
        (["plan", "/nonexistent"], "/nonexistent cannot be read"),
    ],
)
def test_mistake_is_one_line(words, said, sanitized):
    done = subprocess.run([str(sanitized), *words], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("numasim-native: ") and done.stderr.count("\n") == 1
    assert said in done.stderr


def test_cross_compiles(program):
    """All of it, for aarch64, without a warning."""
    files = [str(path) for path in native.sources() if path.suffix == ".c"]
    compiler = program("aarch64-linux-gnu-gcc")
    subprocess.run([compiler, *STRICT, "-O2", "-fsyntax-only", *files], check=True)
