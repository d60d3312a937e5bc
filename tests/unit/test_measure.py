"""Does `measure` run a protocol as asked, write what is read back the same, and say what is wrong in one line?"""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from numasim.calibration import host_file, measure, native, protocol
from numasim.calibration.emit import emit
from numasim.calibration.host_file import read, summarised
from numasim.errors import UserError

HOST = {"load_1m": 0.5, "monotonic_s": 100.0, "stat": {"cpus": [{"cpu": 0, "busy": 10, "idle": 5, "stolen": 0}]}}
AFTER = {"load_1m": 1.5, "monotonic_s": 112.5, "stat": {"cpus": [{"cpu": 0, "busy": 100, "idle": 10, "stolen": 5}]}}
BEGIN = {
    "format": "numasim-host",
    "version": 1,
    "made_by": {"numasim": "1", "native": "x", "compiler": "cc", "flags": "-O2"},
    "protocol": {"name": "p", "sha256": "y", "rounds": 2, "only": []},
    "label": "",
    "begun": "2026-01-31T12:00:00Z",
    "host": HOST,
}


def ran(turn: int, values: list[float], size: int = 64, **more: object) -> dict:
    quiet = {"preempted": [0] * len(values), "ran_share": [1] * len(values)}
    return {
        "round": turn,
        "experiment": "chase",
        "keys": {"size": size, "pages": "4k"},
        "samples": {"latency_ns": values, **quiet},
        "facts": {"turn": turn},
        "seconds": 0.25,
    } | more


def written(path: Path, *lines: dict) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def complete(path: Path, *lines: dict) -> Path:
    return written(path, {"begin": BEGIN}, *lines, {"end": AFTER})


def test_lines_become_one_measurement_a_set_of_keys(tmp_path):
    skip = {"skip": "chase size=1 pages=1g", "why": "no pages"}
    lines = [ran(0, [3, 1]), ran(0, [7], size=128), skip, ran(1, [2, 6]), skip]
    found = read(complete(tmp_path / "host.jsonl", *lines))
    one, other = found.of("chase")
    assert one.samples["latency_ns"].raw == [3, 1, 2, 6] and one.rounds == [0, 0, 1, 1]
    assert one.facts == {"turn": 0} and one.seconds == 0.5
    assert other.keys == {"size": 128, "pages": "4k"} and other.samples["latency_ns"].median == 7
    assert found.skipped == [host_file.Skipped("chase", "size=1 pages=1g", "no pages")]
    assert not found.partial and found.seconds == 12.5
    assert found.during.load_1m == [0.5, 1.5]
    assert found.during.cpus == [host_file.CpuUse(0, 0.9, 0.05)]  # of 100 ticks 90, 5 idle, 5 stolen


def test_a_file_is_read_as_its_lines_were(tmp_path):
    found = read(complete(tmp_path / "host.jsonl", ran(0, [3, 1]), ran(1, [2, 6])))
    again = tmp_path / "host.json"
    host_file.write(found, again)
    assert read(again) == found and sorted(os.listdir(tmp_path)) == ["host.json", "host.jsonl"]


def test_without_end_it_is_partial(tmp_path):
    assert read(written(tmp_path / "host.jsonl", {"begin": BEGIN}, ran(0, [1]))).partial


def test_what_the_experiment_could_not_do_is_skipped(tmp_path):
    skipped = {"round": 0, "experiment": "chase", "keys": {"size": 64}, "skipped": "no pages", "seconds": 0.1}
    found = read(complete(tmp_path / "host.jsonl", skipped))
    assert found.measurements == [] and found.skipped == [host_file.Skipped("chase", "size=64", "no pages")]


def test_summary_is_that_of_numpy():
    raw = np.random.default_rng(1).gamma(2, 10, 31).tolist()
    found = summarised(raw, [value > 20 for value in raw])
    assert found.raw == raw
    for value, expected in (
        (found.median, np.median(raw)),
        (found.mad, np.median(np.abs(raw - np.median(raw)))),
        (found.p10, np.quantile(raw, 0.1)),
        (found.p90, np.quantile(raw, 0.9)),
        (found.min, np.min(raw)),
        (found.max, np.max(raw)),
        (found.quiet, np.median([value for value in raw if value > 20])),
    ):
        assert value == pytest.approx(expected, rel=1e-12)


def test_disturbed_repetitions_are_not_quiet(tmp_path):
    run = ran(0, [1, 2, 3, 4, 100])
    run["samples"] |= {"preempted": [0, 0, 0, 0, 1], "ran_share": [1, 1, 1, 0.5, 1]}
    sample = read(complete(tmp_path / "host.jsonl", run)).measurements[0].samples["latency_ns"]
    assert (sample.quiet, sample.median) == (2, 3)


def test_rounds_add_histograms(tmp_path):
    def histogram(*buckets: tuple[int, int, int]) -> dict:
        total = sum(low * count for low, _, count in buckets)
        ends = {"min": buckets[0][0], "max": buckets[-1][1]}
        return {"unit_ns": 0.5, "count": sum(c for *_, c in buckets), "sum": total, **ends, "buckets": buckets}

    lines = [
        ran(0, [1], histograms={"access": histogram((4, 4, 2), (128, 129, 1))}),
        ran(1, [1], histograms={"access": histogram((3, 3, 5), (128, 129, 7))}),
    ]
    (found,) = read(complete(tmp_path / "host.jsonl", *lines)).measurements
    summed = found.histograms["access"]
    assert summed.buckets == [(3, 3, 5), (4, 4, 2), (128, 129, 8)]
    assert (summed.count, summed.min, summed.max, summed.sum) == (15, 3, 129, 15 + 8 + 8 * 128)


def spoiled(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: "", "is empty"),
        (lambda text: text[:200], "line 1 is no JSON"),
        (lambda text: "[1]", "is the JSON of something else"),
        (lambda text: "\xff\x00", "no JSON"),
        (lambda text: "[" * 100_000, "no JSON"),
        (lambda text: spoiled(text, '"version":1', '"version":2'), "has version 2"),
        (
            lambda text: spoiled(text, '"median":2.5', '"median":"x"'),
            "Expected float | null, got str at measurements[0]",
        ),
        (lambda text: spoiled(text, '"raw":[3', '"raw":[3,3'), "raw has 5 values"),
        (lambda text: spoiled(text, '"label":"",', ""), "missing required field label"),
    ],
)
def test_what_is_no_such_file_is_told_with_its_place(spoil, said, tmp_path):
    found = read(complete(tmp_path / "host.jsonl", ran(0, [3, 1]), ran(1, [2, 6.0])))
    path = tmp_path / "host.json"
    path.write_text(spoil(msgspec.json.encode(found).decode()), encoding="latin-1")
    with pytest.raises(UserError) as caught:
        read(path)
    assert said in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"round": 0, "experiment"', "3: Input data was truncated"),
        ('{"round": 0, "experiment": 5}', "3: Expected str, got int at experiment"),
        ('{"x": 1}', "3: is neither a run nor skip nor end"),
        (json.dumps(ran(0, [])), "3: has samples of different numbers"),
        (json.dumps(ran(0, [1]) | {"samples": {"a": [1], "b": [1, 2]}}), "3: has samples of different numbers"),
        ("nothing", "3: JSON is malformed"),
    ],
)
def test_wrong_line_is_told_by_its_number(line, said, tmp_path):
    path = written(tmp_path / "host.jsonl", {"begin": BEGIN}, ran(0, [1]))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=said):
        read(path)


def test_plan_of_a_protocol():
    tables = {
        "defaults": {"ms": 2, "repetitions": 30},
        "run": [{"experiment": "clock", "repetitions": 4}, {"experiment": "chase", "size": ["4k", "2*l3"], "ms": 5}],
    }
    found = protocol.from_tables(tables, "mine", "mine.toml")
    assert found.plan() == "clock ms=2 repetitions=4\nchase ms=5 repetitions=30 size=4k,2*l3\n"
    assert found.plan(4) == "clock ms=2 repetitions=3\nchase ms=5 repetitions=8 size=4k,2*l3\n"
    assert found.only(["clock"]).plan() == "clock ms=2 repetitions=4\n"
    with pytest.raises(UserError, match="no experiment 'list' in protocol mine"):
        found.only(["list"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no [[run]]"),
        ("run = 1", "has no [[run]]"),
        ("x = 1", "unknown table or key 'x'"),
        ("[[run]]", "[[run]] number 1: experiment is missing"),
        ('[[run]]\nexperiment = "chase"\nsize = 1.5', "number 1: size = 1.5"),
        ('[[run]]\nexperiment = "chase"\nsize = "4k 8k"', "number 1: size = '4k 8k'"),
        ('[[run]]\nexperiment = "chase"\nsize = []', "number 1: size is an empty list"),
        ('[[run]]\nexperiment = "chase"\nrepetitions = [1, 2]', "number 1: repetitions = 1, 2"),
        ('[[run]]\nexperiment = "chase"\nx = true', "number 1: x = True"),
        ("[[run]\n", "is not TOML"),
    ],
)
def test_wrong_protocol_is_told(text, said, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        protocol.load(str(path))
    assert said in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["quick", "standard", "full"])
def test_shipped_protocol_can_be_planned_here(name):
    """Every line is understood, and every experiment but those that need two nodes or CPUs has runs."""
    found = protocol.load(name)
    done = native.build().call(["plan", "-"], stdin=found.plan())
    assert (done.returncode, done.stderr) == (0, "")
    runs = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("run ")}
    assert {experiment for experiment, _ in found.runs} - runs <= {"migrate", "loaded", "pingpong", "c2c"}


FAKE = r"""#!/bin/sh
# plans what it is told, and counts its runs in a file beside itself
case $1 in
host) echo '{"load_1m": 1, "monotonic_s": 1}' ;;
plan) echo "run chase size=64"; echo "run chase size=128"; echo "run list x=1"; echo "skip tlb count=5 # no room" ;;
list) echo "numasim-native: x=1: no" >&2; exit 2 ;;
*) n=$(cat "$0.count" 2>/dev/null || echo 0); echo $((n + 1)) >"$0.count"
   echo '{"experiment": "chase", "keys": {"size": "'$2'"}, "samples": {"n": ['$n']}, "seconds": 1}' ;;
esac
"""


@pytest.fixture
def fake(tmp_path, monkeypatch) -> Path:
    """A program in place of the native one."""
    path = tmp_path / "fake"
    path.write_text(FAKE)
    path.chmod(0o755)
    monkeypatch.setattr(native, "build", lambda: native.Native(path, "0", "none"))
    return path


def samples_of(file: host_file.HostFile) -> list[list[float | None]]:
    return [one.samples["n"].raw for one in file.measurements]


def test_rounds_of_two_files_take_turns(fake):
    done = measure.measure(protocol.load("quick"), rounds=2, labels=["A", "B"])
    a, b = done.files
    # runs number 0 and 1 are round 0 of A, 2 and 3 round 0 of B, 4 and 5 round 1 of A ...
    assert samples_of(a) == [[0, 4], [1, 5]] and samples_of(b) == [[2, 6], [3, 7]]
    assert (a.label, b.label, a.protocol.rounds, a.measurements[0].rounds) == ("A", "B", 2, [0, 1])
    skips = [("tlb", "count=5", "no room"), ("list", "x=1", "x=1: no")]
    assert [(one.experiment, one.keys, one.why) for one in a.skipped] == skips
    assert not done.partial


def test_interrupted_it_keeps_what_there_is(fake):
    def report(what: str, done: float) -> None:
        if done > 0.3:
            raise KeyboardInterrupt

    done = measure.measure(protocol.load("quick"), rounds=3, report=report)  # nine runs: stopped before the fourth
    (file,) = done.files
    assert done.partial and file.partial and samples_of(file) == [[0], [1]]


COMMAND = "import typer; from numasim.cli import app, measure; app.app.command('measure')(measure.measure); app.main()"
TINY = """
[defaults]
ms = 1
repetitions = 2
[[run]]
experiment = "clock"
[[run]]
experiment = "chase"
size = "16k"
node = ["local", "remote"]
"""


def called(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(native.__file__).parents[2])}
    command = [sys.executable, "-c", COMMAND, "measure", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120)


@pytest.fixture
def tiny(tmp_path) -> Path:
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


def test_command_line_measures_this_host(tiny):
    done = called(tiny, "-o", "host.json", "--protocol", "./tiny.toml")
    assert (done.returncode, done.stderr) == (0, "")
    found = read(tiny / "host.json")
    assert [one.experiment for one in found.measurements][:2] == ["clock", "chase"]
    assert found.host["allowed"] and found.host["cpu"]["id"] and found.made_by.native == native.digest()
    assert len(found.measurements[0].samples["core_ghz"].raw) == 2
    if len(found.host["nodes"]) == 1:
        assert [(one.experiment, one.why) for one in found.skipped] == [("chase", "there is no second node")]
        assert "not measured: chase" in done.stdout
    assert sorted(os.listdir(tiny)) == ["host.json", "tiny.toml"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "measure: nowhere to write to"),
        (["-o", "no/where"], "no folder"),
        (["-o", "."], "is a folder"),
        (["-o", "x", "--protocol", "none"], "no protocol 'none'"),
        (["-o", "x", "--protocol", "./none.toml"], "./none.toml: No such file"),
        (["-o", "x", "--cpu", "4095", "--protocol", "./tiny.toml"], "cpu=4095"),
        (["-o", "x", "--only", "tlb", "--protocol", "./tiny.toml"], "no experiment 'tlb'"),
        (["-o", "x", "--rounds", "0"], "--rounds: 0 rounds"),
        (["-o", "x", "--and", "x"], "--and: is --output, too"),
        (["--emit", "x", "-o", "y"], "--output beside --emit"),
        (["--emit", "."], "is there already"),
    ],
)
def test_mistake_is_one_line_and_a_2(words, said, tiny):
    done = called(tiny, *words)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert said in done.stderr
    assert os.listdir(tiny) == ["tiny.toml"]


def test_emitted_folder_measures_without_python(tiny, program):
    """make, sh and the compiler do it; the file is read like one of measure's own."""
    program("make")
    emit(tiny / "there", protocol.load(str(tiny / "tiny.toml")), rounds=2)
    assert stat.S_IMODE((tiny / "there/run.sh").stat().st_mode) & 0o111
    done = subprocess.run(["sh", "there/run.sh", "host.jsonl"], capture_output=True, text=True, cwd=tiny)
    assert done.returncode == 0, done.stderr
    found = read(tiny / "host.jsonl")
    assert not found.partial and found.protocol.rounds == 2 and found.made_by.native == native.digest()
    assert found.made_by.compiler and found.label
    clock = found.of("clock")[0]
    assert clock.rounds == [0, 0, 1, 1] and len(clock.samples["core_ghz"].raw) == 4
    assert [one.keys["size"] for one in found.of("chase") if one.keys["node"] == found.host["nodes"][0]["node"]]
    assert sorted(os.listdir(tiny)) == ["host.jsonl", "there", "tiny.toml"]


def test_no_compiler_is_told(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(UserError, match="no C compiler 'no-such-compiler'"):
        native.build()


def test_failing_compiler_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMASIM_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", "false")
    with pytest.raises(UserError, match="false fails"):
        native.build()
    assert not list(tmp_path.rglob("numasim-native*"))


def test_what_is_compiled_is_kept(monkeypatch, tmp_path, program):
    """A second call finds the program; a folder that others may write to is not trusted."""
    compiler = tmp_path / "compiler"
    compiler.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\nexec {program("cc")} "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("NUMASIM_CACHE", str(tmp_path / "cache"))
    first = native.build()
    assert native.build() == first and first.program.is_relative_to(tmp_path / "cache")
    compiled = [line for line in (tmp_path / "calls").read_text().splitlines() if " -o " in line]
    assert len(compiled) == 1
    (tmp_path / "cache/numasim").chmod(0o777)
    assert not native.build().program.is_relative_to(tmp_path / "cache")
