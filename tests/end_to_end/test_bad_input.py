"""Does every mistake give one line on stderr that names it, exit code 2, no traceback, and no half-written file?"""

import lzma
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from end_to_end.readme_blocks import ROOT
from numasim.traces.parquet import Columns, Meta, Writer
from numasim.traces.records import LOAD, LOCK, UNLOCK

TRACES = ROOT / "examples" / "traces"
RUN = ("run", "teaching-2s")
SMALL = ("size=64KiB", "accesses=1000")

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def mistake(cli: Cli, tmp_path: Path) -> Callable[..., str]:
    """mistake("run", ...): the line that tells what is wrong; the folder is as it was."""

    def told(*words: str, stdin: str | None = None) -> str:
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        done = cli(*words, stdin=stdin, timeout_s=60)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert done.stderr.startswith("numasim: ")
        assert done.stderr.count("\n") == 1 and done.stderr.endswith("\n")
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        return done.stderr

    return told


Mistake = Callable[..., str]


# ---- the command line ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        # machines and workloads
        (["run", "icx-8360", "chase"], ["icx-8360", "icx-8360y-2s"]),
        (["run", "no/where.toml", "chase"], ["no/where.toml"]),
        ([*RUN, "lost"], ["workload", "'lost'", "list"]),
        ([*RUN, "chase", "sise=1MiB"], ["'sise'", "size"]),
        ([*RUN, "trace"], ["file"]),
        ([*RUN, "trace", "file=none.parquet"], ["none.parquet"]),
        # lengths
        ([*RUN, "list", "length=0"], ["length", "0"]),
        ([*RUN, "list", "length=-5"], ["length", "-5"]),
        ([*RUN, "list", "length=1e12"], ["length", "1,000,000,000,000"]),
        ([*RUN, "map", "length=1000000000000"], ["length", "1,000,000,000,000"]),
        ([*RUN, "chase", "size=1024TiB"], ["size"]),
        ([*RUN, "chase", "size=3"], ["size", "64"]),
        ([*RUN, "chase", "size=many"], ["size", "'many'"]),
        ([*RUN, "stream", "size=4GiB"], ["4 GiB", "2 GiB"]),
        ([*RUN, "chase", *SMALL, "laps=2"], ["accesses and laps"]),
        ([*RUN, "chase", "accesses=0"], ["accesses"]),
        ([*RUN, "chase", "accesses=1e30"], ["accesses"]),
        # CPUs and nodes
        ([*RUN, "chase", "-C", "8"], ["--physcpubind", "8", "0-7"]),
        ([*RUN, "chase", "-C", "3-1"], ["--physcpubind"]),
        ([*RUN, "chase", "-N", "2"], ["--cpunodebind", "2", "0-1"]),
        ([*RUN, "chase", "-N", "!all"], ["--cpunodebind"]),
        ([*RUN, "chase", "-N", "0", "-C", "4"], ["CPU"]),
        ([*RUN, "chase", "threads=5"], ["5", "0-3"]),
        ([*RUN, "chase", "threads=0"], ["threads"]),
        ([*RUN, "c2c", "threads=3"], ["threads", "even"]),
        ([*RUN, "chase", "-m", "7"], ["--membind", "7"]),
        ([*RUN, "chase", "-m", "0", "-i", "all"], ["membind", "interleave"]),
        ([*RUN, "chase", "-w", "0:x"], ["--weighted-interleave"]),
        ([*RUN, "chase", "--pages", "3k"], ["'3k'", "4k"]),
        ([*RUN, "chase", "--page-tables", "9"], ["--page-tables", "9"]),
        # --set
        ([*RUN, "chase", "--set", "core.rob_entrys=9"], ["core.rob_entrys", "rob_entries"]),
        ([*RUN, "chase", "--set", "core.rob_entries=big"], ["core.rob_entries", "'big'"]),
        ([*RUN, "chase", "--set", "core.rob_entries=0"], ["core.rob_entries", "0"]),
        ([*RUN, "chase", "--set", "l1d.ways=3"], ["l1d"]),
        ([*RUN, "chase", "--set", "links.upi.latency_ns=1"], ["upi", "bridge"]),
        ([*RUN, "chase", "--set", "core"], ["--set", "KEY=VALUE"]),
        ([*RUN, "chase", "--set", "links={}"], ["links"]),
        # arrivals and the rest
        ([*RUN, "list", "arrivals=often"], ["arrivals", "poisson"]),
        ([*RUN, "list", "arrivals=poisson:0/s"], ["arrivals"]),
        ([*RUN, "chase", "arrivals=poisson:1k/s"], ["operations"]),
        ([*RUN, "chase", "--scheduler", "magic"], ["magic", "simpy"]),
        ([*RUN, "chase", "--seed", "-1"], ["seed"]),
        ([*RUN, "chase", *SMALL, "-o", "no/such/folder/run.json"], ["no/such/folder"]),
        ([*RUN, "chase", *SMALL, "-o", "."], ["folder"]),
        (["report", "none.json"], ["none.json"]),
        (["show", "teaching-3s"], ["teaching-3s", "teaching-2s"]),
        (["list", "workloads", "chess"], ["chess", "chase"]),
        (["trace", "convert", "none.txt", "-o", "t.parquet"], ["none.txt"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_words_of_a_command_line(words: list[str], parts: list[str], mistake: Mistake) -> None:
    told = mistake(*words)
    for part in parts:
        assert part in told


def test_an_output_that_cannot_be_written_is_known_before_the_run(mistake: Mistake) -> None:
    begin = time.monotonic()
    mistake(*RUN, "chase", "accesses=1e10", "-o", "/proc/nothing/run.json")
    assert time.monotonic() - begin < 20


# ---- machine files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda text: text[:500], ["machine.toml"]),
        (lambda text: text.replace("[core]", "[core"), ["machine.toml", "line"]),
        (lambda text: text.replace("rob_entries", "rob_size"), ["machine.toml", "rob_size", "rob_entries"]),
        (lambda text: text.replace("ways = 8", 'ways = "eight"', 1), ["machine.toml", "l3.ways"]),
        (lambda text: text.replace("tcl_ns = 20.0", "tcl_ns = -1.0"), ["machine.toml", "tcl_ns", "-1"]),
        (lambda text: text.replace('"socket1"', '"socket7"'), ["machine.toml", "socket7"]),
        (lambda text: text.replace("rob_entries = 32 ", "# "), ["machine.toml", "rob_entries"]),
        (lambda text: "", ["machine.toml"]),
    ],
)
def test_machine_files(
    change: Callable[[str], str], parts: list[str], mistake: Mistake, root: Path, tmp_path: Path
) -> None:
    whole = (root / "models" / "teaching-2s.toml").read_text()
    assert change(whole) != whole
    (tmp_path / "machine.toml").write_text(change(whole))
    told = mistake("run", "./machine.toml", "chase", *SMALL)
    for part in parts:
        assert part in told


# ---- scenario files ------------------------------------------------------------------------------------------------

HEAD = 'machine = "teaching-2s"\n'
GROUP = '[[group]]\nworkload = "chase"\nsize = "64KiB"\naccesses = 1000\n'


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["s.toml", "machine"]),
        ("machine = ", ["s.toml", "TOML"]),
        ('machine = "teaching-2s\n', ["s.toml", "line 1"]),
        (HEAD, ["s.toml", "[[group]]"]),
        (GROUP, ["s.toml", "machine"]),
        ("machine = 3\n" + GROUP, ["s.toml", "machine"]),
        ('machine = "none.toml"\n' + GROUP, ["none.toml"]),
        (HEAD + "speed = 3\n" + GROUP, ["s.toml", "'speed'"]),
        (HEAD + "group = 3\n", ["s.toml", "group"]),
        (HEAD + "seed = -1\n" + GROUP, ["seed", "-1"]),
        (HEAD + 'scheduler = "magic"\n' + GROUP, ["scheduler", "magic"]),
        (HEAD + "page_tables = 7\n" + GROUP, ["7"]),
        (HEAD + "[[group]]\nsize = 64\n", ["s.toml", "workload"]),
        (HEAD + GROUP + "sise = 3\n", ["'sise'", "size"]),
        (HEAD + GROUP + "size_bytes = {a = 1}\n", ["size_bytes"]),
        (HEAD + GROUP + "laps = 3\n", ["accesses and laps"]),
        (HEAD + GROUP + "threads = 0\n", ["s.toml", "threads"]),
        (HEAD + GROUP + 'pages = "3k"\n', ["3k"]),
        (HEAD + GROUP + 'cpus = "0-99"\n', ["8", "0-7"]),
        (HEAD + GROUP + 'membind = "0"\ninterleave = "0,1"\n', ["s.toml", "membind", "interleave"]),
        (HEAD + GROUP + GROUP, ["s.toml", "name"]),
        (HEAD + GROUP + 'cpus = "0"\n' + GROUP + 'name = "b"\ncpus = "0"\n', ["group b", "CPU"]),
        (HEAD + "[os]\ntick_hz = -1\n" + GROUP, ["tick_hz", "-1"]),
        (HEAD + "[os]\ntick = 1\n" + GROUP, ["os.tick", "tick_us"]),
        (HEAD + '[set]\n"core.width" = 1\n' + GROUP, ["core.width"]),
        (HEAD + GROUP + '[[region]]\nname = "chase"\ncolour = "red"\n', ["s.toml", "region", "'colour'"]),
        (HEAD + GROUP + '[[region]]\nname = "chase"\nmembind = "9"\n', ["9"]),
        (HEAD + GROUP + '[[region]]\nmembind = "1"\n', ["s.toml", "region", "name"]),
    ],
)
def test_scenario_files(text: str, parts: list[str], mistake: Mistake, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(text)
    told = mistake("run", "s.toml")
    for part in parts:
        assert part in told


def test_a_rule_for_a_region_that_is_not_there(mistake: Mistake, tmp_path: Path) -> None:
    """A typing mistake must not silently leave the memory where it was."""
    (tmp_path / "s.toml").write_text(HEAD + GROUP + '[[region]]\nname = "chaes"\nmembind = "1"\n')
    told = mistake("run", "s.toml")
    assert "chaes" in told and "chase" in told


def test_scenario_files_that_are_no_text(mistake: Mistake, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_bytes(b"\xff\xfe\x00")
    assert "s.toml" in mistake("run", "s.toml")
    (tmp_path / "folder.toml").mkdir()
    assert "folder.toml" in mistake("run", "folder.toml")
    assert "none.toml" in mistake("run", "none.toml")
    assert "--membind" in mistake("run", "s.toml", "-m", "1")


# ---- scenarios that cannot end -------------------------------------------------------------------------------------


def write_trace(path: Path, *kinds: int) -> None:
    """A trace of two threads that take turns: each does the first, then each the next, all at one address."""
    with Writer(path) as writer:
        kind, thread = np.repeat(kinds, 2), np.tile([1, 2], len(kinds))
        writer.write(Columns(np.full(len(kind), 0x5000), thread=thread, kind=kind))
        writer.commit(Meta(sites=["here"], threads=[1, 2], dependence="exact"))


def test_threads_that_wait_for_each_other_for_ever(mistake: Mistake, cli: Cli, tmp_path: Path) -> None:
    write_trace(tmp_path / "never.parquet", LOAD, LOCK)
    for scheduler in "compiled", "simpy":
        told = mistake(*RUN, "trace", "file=never.parquet", "warmup=0", "laps=1", "--scheduler", scheduler)
        assert "for ever" in told
    write_trace(tmp_path / "taken.parquet", LOAD, LOCK, UNLOCK)
    assert cli(*RUN, "trace", "file=taken.parquet", "warmup=0", "laps=1").returncode == 0


def test_arrivals_faster_than_they_can_be_served(mistake: Mistake) -> None:
    told = mistake(*RUN, "map", "length=2000", "dependent=yes", "laps=1", "lookups=20000", "arrivals=poisson:1000M/s")
    assert "arrivals" in told and "rate" in told


# ---- logs and traces -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "parts"),
    [
        ("", ["log.txt"]),
        ("hello\nworld\n", ["log.txt", "no format that is known", "lackey"]),
        ("I  04001090,3\n L 1ffe\n", ["log.txt:2"]),
        ("I  04001090,3\n L 1ffe0008,8\nI  0400", ["log.txt:3", "cut short"]),
        ("I  04001090,3\n L 1ffe0008,8\n Q 1ffe0008,8\n", ["log.txt:3"]),
        ("I  04001090,3\n L 1ffe0008,0\n", ["log.txt:2"]),
        ("I  04001090,3\n L fffffffffffffffffff,8\n", ["log.txt:2"]),
        ("I  04001090,3\nI  04001093,3\n", ["log.txt", "no memory access"]),
    ],
)
def test_logs(log: str, parts: list[str], mistake: Mistake, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(log)
    told = mistake("trace", "convert", "log.txt", "-o", "t.parquet")
    for part in parts:
        assert part in told


def test_logs_whose_compression_is_damaged(mistake: Mistake, tmp_path: Path) -> None:
    whole = (TRACES / "listwalk.lackey.xz").read_bytes()
    (tmp_path / "cut.xz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "damaged.xz").write_bytes(whole[:5000] + bytes(100) + whole[5100:])
    for name in "cut.xz", "damaged.xz":
        assert name in mistake("trace", "convert", name, "-o", "t.parquet")


def test_a_damaged_log_leaves_the_trace_that_was_there(mistake: Mistake, tmp_path: Path) -> None:
    """`mistake` holds the folder to what it was, the good trace and its time included."""
    with lzma.open(TRACES / "listwalk.lackey.xz", "rt") as file:
        whole = file.read()
    (tmp_path / "t.parquet").write_bytes((TRACES / "listwalk.parquet").read_bytes())
    mistake("trace", "convert", "-", "-o", "t.parquet", stdin=whole[:100_000] + "\nnonsense\n")
    mistake("trace", "convert", "-", "-o", "no/folder/t.parquet", stdin=whole[:100_000])


@pytest.mark.parametrize("name", ["cut", "damaged", "random", "empty", "text"])
def test_traces(name: str, mistake: Mistake, tmp_path: Path) -> None:
    whole = (TRACES / "listwalk.parquet").read_bytes()
    noise = np.random.default_rng(1).bytes
    content = {
        "cut": whole[: len(whole) // 2],
        "damaged": whole[:5000] + noise(600) + whole[5600:],
        "random": noise(3000),
        "empty": b"",
        "text": b"machine = 3\n",
    }
    (tmp_path / "t.parquet").write_bytes(content[name])
    assert "t.parquet" in mistake(*RUN, "trace", "file=t.parquet")


def test_rules_of_dependence(mistake: Mistake) -> None:
    trace = f"file={TRACES / 'listwalk-inorder.parquet'}"
    assert "dependence" in mistake(*RUN, "trace", trace, "dependence=window:0")
    assert "dependence" in mistake(*RUN, "trace", trace, "dependence=maybe")
    assert "dependence" in mistake(*RUN, "trace", trace, "dependence=exact")
    assert "threads" in mistake(*RUN, "trace", trace, "threads=2")


# ---- results -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"access": 3}', "null"])
def test_results_that_are_none(text: str, mistake: Mistake, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    assert "run.json" in mistake("report", "run.json")
    assert "standard input" in mistake("report", "-", stdin=text)


def test_reports_that_cannot_be(mistake: Mistake, cli: Cli) -> None:
    assert cli(*RUN, "chase", *SMALL, "-o", "run.json").returncode == 0
    assert "nobody" in mistake("report", "run.json", "--group", "nobody")
    assert "p101" in mistake("report", "run.json", "--above", "p101")
    assert "operation" in mistake("report", "run.json", "--of", "operation")
