"""Does each verb hand on what was said, print data on stdout only, and answer a mistake with one line and a 2?"""

import io
import json as standard
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from numasim.cli import app, progress
from numasim.cli.words import pairs
from numasim.errors import UserError
from numasim.results import Result, json
from unit.test_results_synthetic import raw_of, result_of, samples

RESULT = result_of(samples(seed=11, count=2000))
HEAVY = {"numba", "numpy", "pyarrow", "networkx", "scipy", "msgspec", "simpy", "matplotlib", "pandas"}


class Called:
    """Stands for study.run and study.scenario: notes what it was given, answers as it is told to."""

    def __init__(self) -> None:
        self.machine: Any = None
        self.workload = ""
        self.scenario: Any = None
        self.options: dict[str, Any] = {}
        self.timeline = False
        self.answer: Callable[[], Result] = lambda: RESULT

    def single(self, machine: object, workload: str, options: dict[str, object]) -> str:
        self.machine, self.workload, self.options = machine, workload, options
        return "scenario of the command line"

    def load(self, path: str, **options: object) -> str:
        self.options = options
        return f"scenario {path}"

    def run_scenario(self, scenario: str, progress: object, timeline: bool) -> Result:
        self.scenario, self.timeline = scenario, timeline
        return self.answer()


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    called = Called()
    study, run, scenario = (ModuleType(f"numasim.study{part}") for part in ("", ".run", ".scenario"))
    study.run, study.scenario = run, scenario  # type: ignore[attr-defined]
    run.run_scenario, scenario.load = called.run_scenario, called.load  # type: ignore[attr-defined]
    scenario.single = called.single  # type: ignore[attr-defined]
    for module in (study, run, scenario):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(import_module("numasim.machine"), "load", lambda name, set: (name, set))
    return called


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """say("run", ...): exit code, stdout and stderr of a command line."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            app.main(words)
        out, err = capsys.readouterr()
        assert isinstance(done.value.code, int)
        return done.value.code, out, err

    return run


Say = Callable[..., tuple[int, str, str]]


def assert_mistake(answer: tuple[int, str, str], *words: str) -> None:
    code, out, err = answer
    assert code == 2
    assert out == ""
    assert err.startswith("numasim: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for word in words:
        assert word in err


def test_run_hands_on_keys_as_text_and_options_only_if_given(called: Called, say: Say) -> None:
    keys = ["length=1e6", "order=shuffled", "threads=2"]
    code, out, err = say("run", "icx-8360y-2s", "list", *keys, "-N", "0", "-m", "1")
    assert (code, err) == (0, "")
    assert called.machine == ("icx-8360y-2s", {})
    assert called.workload == "list"
    assert called.options == {
        "length": "1e6",
        "order": "shuffled",
        "threads": "2",
        "cpunodebind": "0",
        "membind": "1",
    }
    assert "generators operation" in out


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["-C", "0-3,7"], {"physcpubind": "0-3,7"}),
        (["--cpunodebind=!0"], {"cpunodebind": "!0"}),
        (["-i", "all"], {"interleave": "all"}),
        (["-w", "0,1"], {"weighted_interleave": "0,1"}),
        (["-p", "1"], {"preferred": "1"}),
        (["-l"], {"localalloc": True}),
        (["--pages", "2m", "--page-tables", "1"], {"pages": "2m", "page_tables": "1"}),
        (["pages=2m"], {"pages": "2m"}),
        (["--seed", "7", "--scheduler", "simpy"], {"seed": 7, "scheduler": "simpy"}),
        (["-N1", "accesses=1000", "laps=3"], {"cpunodebind": "1", "accesses": "1000", "laps": "3"}),
    ],
)
def test_words_of_numactl(words: list[str], options: dict[str, object], called: Called, say: Say) -> None:
    assert say("run", "m", "chase", *words)[0] == 0
    assert called.options == options


def test_set_changes_the_machine(called: Called, say: Say) -> None:
    say("run", "m", "chase", "--set", "links.upi.latency_ns=60", "--set", "core.fill_buffers=2")
    assert called.machine == ("m", {"links.upi.latency_ns": "60", "core.fill_buffers": "2"})


def test_a_scenario_is_run_by_its_file(called: Called, say: Say) -> None:
    assert say("run", "two.toml")[0] == 0
    assert called.scenario == "scenario two.toml"
    assert called.options == {}
    say("run", "two.toml", "--seed", "3", "--set", "os.tick_hz=0")
    assert called.options == {"seed": 3, "set": {"os.tick_hz": "0"}}


def test_json_goes_to_stdout_and_to_a_file(called: Called, say: Say, tmp_path: Path) -> None:
    code, out, err = say("run", "m", "chase", "--json")
    assert (code, err) == (0, "")
    assert set(standard.loads(out)) >= {"access", "operation", "detail"}
    code, out, err = say("run", "m", "chase", "-o", str(tmp_path / "run.json"))
    assert "Where the time went" in out
    assert json.read(tmp_path / "run.json").access.count == RESULT.access.count


def test_an_output_that_cannot_be_is_known_before_the_run(called: Called, say: Say, tmp_path: Path) -> None:
    assert_mistake(say("run", "m", "chase", "-o", str(tmp_path / "no" / "run.json")), "no folder")
    assert called.machine is None


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["run"], ["Missing argument"]),
        (["run", "m"], ["no workload", "SCENARIO.toml"]),
        (["run", "m", "length=5"], ["no workload before 'length=5'"]),
        (["run", "m", "chase", "size"], ["'size' is no KEY=VALUE"]),
        (["run", "m", "chase", "=5"], ["is no KEY=VALUE"]),
        (["run", "m", "chase", "size=1", "size=2"], ["size is given twice"]),
        (["run", "m", "chase", "pages=2m", "--pages", "4k"], ["pages is given as key and as option"]),
        (["run", "m", "chase", "machine=x"], ["unknown key 'machine'"]),
        (["run", "m", "chase", "--set", "x"], ["--set", "no KEY=VALUE"]),
        (["run", "m", "chase", "--seed", "x"], ["--seed"]),
        (["run", "m", "chase", "--nonsense"], ["No such option", "--nonsense"]),
        (["run", "s.toml", "-m", "1"], ["--membind beside a scenario", "s.toml"]),
        (["ruin"], ["No such command", "Did you mean"]),
        (["list", "people"], ["cannot list 'people'"]),
        (["list"], ["Missing argument"]),
        (["report", "nothing.json"], ["nothing.json", "No such file"]),
        (["report", "nothing.json", "--above", "most"], ["'most' is no percentile"]),
        (["report", "nothing.json", "--of", "people"], ["--of"]),
        (["trace"], ["Missing command"]),
        (["trace", "convert", "log"], ["--output"]),
    ],
)
def test_a_mistake_is_told_in_a_line(words: list[str], parts: list[str], called: Called, say: Say) -> None:
    assert_mistake(say(*words), *parts)


def raising(error: BaseException) -> Callable[[], Result]:
    def answer() -> Result:
        raise error

    return answer


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (UserError("node 7 is not there", "-m 7", "0 or 1"), ["-m 7: node 7 is not there (expected 0 or 1)"]),
        (UserError("two\nlines", "file"), ["file: two lines"]),
        (MemoryError(), ["not enough memory"]),
        (FileNotFoundError(2, "No such file or directory", "t.parquet"), ["t.parquet: No such file"]),
    ],
)
def test_errors_of_a_run_are_told_in_a_line(error: Exception, parts: list[str], called: Called, say: Say) -> None:
    called.answer = raising(error)
    assert_mistake(say("run", "m", "chase"), *parts)


def test_a_bug_shows_its_traceback(called: Called) -> None:
    called.answer = raising(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        app.main(["run", "m", "chase"])


def test_an_interrupt_is_told_in_a_line(called: Called, say: Say) -> None:
    called.answer = raising(KeyboardInterrupt())
    assert say("run", "m", "chase") == (130, "", "numasim: interrupted\n")


def test_an_interrupted_run_shows_what_it_has(called: Called, say: Say) -> None:
    made = samples(count=100)
    partial = Result(raw_of(made)._replace(partial=True), RESULT.sites, RESULT.regions, RESULT.provenance)
    called.answer = lambda: partial
    code, out, err = say("run", "m", "chase")
    assert (code, err) == (130, "numasim: interrupted\n")
    assert "Stopped before its end" in out


def test_report_reads_what_run_wrote(say: Say, tmp_path: Path) -> None:
    json.write(RESULT, tmp_path / "run.json")
    code, out, err = say("report", str(tmp_path / "run.json"), "--above", "p99")
    assert (code, err) == (0, "")
    assert "The slowest 1 %: 60 of 6,000 accesses" in " ".join(out.split())
    code, out, _ = say("report", str(tmp_path / "run.json"), "--of", "operation", "--group", "generators", "--json")
    assert standard.loads(out)["of_count"] == 200
    assert_mistake(say("report", str(tmp_path / "run.json"), "--group", "nobody"), "no group 'nobody'", "chaser")


def test_report_reads_a_pipe() -> None:
    done = python("-m", "numasim", "report", "-", "--above", "99", input=json.dumps(RESULT).encode())
    assert done.returncode == 0
    assert b"The slowest 1 %" in done.stdout
    done = python("-m", "numasim", "report", "-", input=b"no result")
    assert done.returncode == 2
    assert done.stderr.startswith(b"numasim: standard input: not a numasim result")


def test_list_workloads_names_their_keys(say: Say) -> None:
    code, out, _ = say("list", "workloads")
    assert code == 0
    assert "chase" in out
    assert "size=" in out
    code, out, _ = say("list", "workloads", "chase", "--json")
    assert standard.loads(out)["keys"]["order"]["default"] == "random"
    assert "size=" in say("list", "workloads", "chase")[1]
    assert_mistake(say("list", "workloads", "chas"), "chase")


@pytest.fixture
def matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices that take no time."""
    study, matrix = ModuleType("numasim.study"), ModuleType("numasim.study.matrix")
    matrix.latency_matrix = lambda machine: [[89.24, 142.7], [142.7, 89.2]]  # type: ignore[attr-defined]
    matrix.bandwidth_matrix = lambda machine: [[175.7, 55.7], [55.7, 175.7]]  # type: ignore[attr-defined]
    for module in (study, matrix):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def test_show_prints_what_numactl_and_mlc_would(matrices: None, say: Say) -> None:
    code, out, err = say("show", "teaching-2s")
    assert (code, err) == (0, "")
    parts = [
        "available: 2 nodes (0-1)",
        "node distances:",
        "Idle latency",
        "89.2  142.7",
        "Read bandwidth",
        "175.7   55.7",
    ]
    parts += ["Caches", "TLBs", "Links", "Memory"]
    places = [out.index(part) for part in parts]
    assert places == sorted(places)
    for line in out[out.index("Idle latency") :].splitlines():
        assert len(line) <= 80


def test_show_as_json_has_every_parameter(matrices: None, say: Say) -> None:
    value = standard.loads(say("show", "teaching-2s", "--json", "--set", "core.fill_buffers=2")[1])
    assert value["latency_ns"][0] == [89.24, 142.7]
    assert value["parameters"]["core"]["fill_buffers"] == 2
    assert [node["node"] for node in value["nodes"]] == [0, 1]
    assert "latency_ns" not in standard.loads(say("show", "teaching-2s", "--json", "--no-simulate")[1])


@pytest.mark.parametrize("words", [["nothing"], ["teaching-2s", "--set", "core.fill_bufers=2"], ["nowhere/m.toml"]])
def test_show_tells_a_mistake_in_a_line(words: list[str], say: Say) -> None:
    assert_mistake(say("show", *words))


def test_list_models_describes_each(say: Say) -> None:
    code, out, _ = say("list", "models")
    assert code == 0
    assert "teaching-2s" in out
    names = [model["name"] for model in standard.loads(say("list", "models", "--json")[1])]
    assert names == sorted(names)
    assert "icx-8360y-2s" in names


def test_trace_convert_says_what_it_found(say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("I  04001090,3\n L 1ffe0008,8\nI  04001094,3\n S 1ffe0010,8\n")
    code, out, err = say("trace", "convert", str(log), "-o", str(tmp_path / "t.parquet"))
    assert (code, err) == (0, "")
    assert "1 loads, 1 stores and 2 instructions from 4 lines" in out
    code, out, _ = say("trace", "convert", str(log), "-o", str(tmp_path / "t.parquet"), "--json")
    assert standard.loads(out)["loads"] == 1
    assert_mistake(say("trace", "convert", str(tmp_path / "no.txt"), "-o", str(tmp_path / "t.parquet")), "no.txt")


def test_progress_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress() as report:
        report("simulating", 0.5)
    assert capsys.readouterr() == ("", "")


def test_progress_stays_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress.progress() as report:
        report("compiling [the engine]", -1)
        report("simulating", 0.5)
    assert "simulating" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_pairs_keep_what_follows_the_first_equals_sign() -> None:
    assert pairs(["file=a=b.toml", "empty="], "run") == {"file": "a=b.toml", "empty": ""}


def python(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, *words], capture_output=True, timeout=60, check=False, **options)


def test_the_command_line_loads_nothing_heavy_until_a_verb_runs() -> None:
    done = python("-c", "import sys, numasim.cli.app; print(*sys.modules)")
    assert {name.split(".")[0] for name in done.stdout.decode().split()} & HEAVY == set()


@pytest.mark.parametrize("words", ["--help", "-h", "run --help", "run -h", "report -h", "trace convert -h", ""])
def test_help_is_data(words: str, say: Say) -> None:
    code, out, err = say(*words.split())
    assert (code, err) == (0, "")
    assert "Usage" in out


def test_help_prints_what_verbs_say_of_themselves(say: Say) -> None:
    """What stands in brackets is taken for markup by the help's formatter, and is gone."""
    for words, verb in verbs(typer.main.get_command(app.app)):
        _, out, _ = say(*words, "--help")
        told = (verb.help or "").replace("`", " ").split()
        assert all(word in out for word in told if len(word) < 40), words


def verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A command and what is below it, each with its words."""
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, (*words, name))


def test_version(say: Say) -> None:
    code, out, _ = say("--version")
    assert code == 0
    assert out.startswith("numasim ")


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    json.write(RESULT, tmp_path / "run.json")
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "numasim", "report", str(tmp_path / "run.json")]
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert done.stderr == b""
    assert done.returncode in (1, 141)


def test_a_terminal_without_unicode_is_no_error(tmp_path: Path) -> None:
    json.write(RESULT, tmp_path / "run.json")
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "COLUMNS": "40"}
    done = python("-m", "numasim", "report", str(tmp_path / "run.json"), env=environment)
    assert done.returncode == 0
    assert done.stdout.isascii()
