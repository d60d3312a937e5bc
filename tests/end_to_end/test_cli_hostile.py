"""Does the command line answer closed pipes, full disks, Ctrl-C and impossible words in one line, at once?"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import TESTED
from numasim.machine import load
from numasim.study.matrix import bandwidth_matrix, latency_matrix

SMALL = ("run", "teaching-2s", "chase", "size=64KiB", "accesses=1000")
ENVIRONMENT = os.environ | {"PYTHONPATH": TESTED}
NUMASIM = (sys.executable, "-m", "numasim")

Cli = Callable[..., subprocess.CompletedProcess[str]]


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of bash in which $N is numasim; the code is that of its first command."""
    text = f'N="{sys.executable} -m numasim"; {line}; exit ${{PIPESTATUS[0]}}'
    return subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, cwd=folder, env=ENVIRONMENT, timeout=120
    )


# ---- who reads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", ["list workloads", "--help", "run --help", "show teaching-2s --no-simulate", " ".join([*SMALL, "--json"])]
)
def test_a_reader_who_leaves_is_no_error(words: str, tmp_path: Path) -> None:
    done = shell(f"$N {words} | true", tmp_path)
    assert done.returncode in (0, 141), "0 if all was in the pipe before its reader left"
    assert done.stderr == ""


def test_a_closed_output_is_no_traceback(tmp_path: Path) -> None:
    assert (shell("$N list workloads >&-", tmp_path).returncode, shell("$N list models >&-", tmp_path).stderr) == (
        0,
        "",
    )
    assert shell("$N nonsense 2>&- >&-", tmp_path).returncode == 2


@pytest.mark.parametrize("words", ["list workloads", " ".join([*SMALL, "--json"]), " ".join([*SMALL, "-o /dev/full"])])
def test_a_full_disk_is_told(words: str, tmp_path: Path) -> None:
    done = shell(f"$N {words} > /dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


# ---- Ctrl-C --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "after_s"),
    [
        (["run", "teaching-2s", "chase", "accesses=1e10", "-o", "run.json"], 0.2),
        (["run", "teaching-2s", "chase", "accesses=1e10", "--scheduler", "simpy", "size=64KiB"], 4),
        (["show", "teaching-2s"], 0.5),
        (["trace", "convert", "-", "-o", "t.parquet"], 2),
    ],
    ids=lambda words: str(words),
)
def test_ctrl_c(words: list[str], after_s: float, tmp_path: Path) -> None:
    begun = subprocess.Popen(
        [*NUMASIM, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=ENVIRONMENT,
        text=True,
    )
    time.sleep(after_s)
    begun.send_signal(signal.SIGINT)
    _, err = begun.communicate(timeout=120)
    assert err == "numasim: interrupted\n"
    # Python ends itself by the signal, which a shell calls 130 as well, if the signal came in the midst of an exec()
    assert begun.returncode in (130, -signal.SIGINT)
    assert list(tmp_path.iterdir()) == []


# ---- impossible sizes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        *("chase size=1e12", "stream size=1e12 streams=8", "c2c size=1e12", "loaded size=1e12", "loaded buffer=1e12"),
        *("list length=1e12", "slice length=1e12", "map length=1e12", "tree length=1e12", "listmap length=1e12"),
        *("listmap maps=1e12", "lock locks=1e12", "pingpong handovers=1e12", "trace file=1e12"),
        # what could be written down, but is too large for the machine
        *("chase size=16GiB", "loaded size=4GiB", "c2c size=1TiB", "list length=6e7", "tree length=6e7"),
        *("map length=6e7 value=64", "listmap maps=1 length=6e7", "slice of=pointers length=6e7 value=4096"),
    ],
)
def test_what_is_too_large_is_told_at_once(words: str, cli: Cli) -> None:
    begin = time.process_time(), os.times().children_user
    done = cli("run", "teaching-2s", *words.split())
    took_s = os.times().children_user - begin[1]
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert took_s < 2


# ---- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option", ["-C", "-N", "-m", "-p", "-i", "-w", "--pages", "--page-tables", "-o", "--scheduler"]
)
def test_an_empty_option_is_no_option(option: str, cli: Cli) -> None:
    done = cli(*SMALL, option, "")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    "words", [["report", ""], ["trace", "convert", "", "-o", "t"], ["trace", "convert", "-", "-o", ""]]
)
def test_an_empty_file_name_is_told(words: list[str], cli: Cli) -> None:
    done = cli(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "nothing is given" in done.stderr


GROUP = '[[group]]\nname = "walker"\nworkload = "chase"\nsize = "64KiB"\naccesses = 1000\n'


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (GROUP.replace("size", "sise"), ["walker", "'sise'", "size"]),
        (GROUP.replace("64KiB", "many"), ["walker", "'many'"]),
        (GROUP.replace("64KiB", "16GiB"), ["walker", "16 GiB", "2 GiB"]),
        (GROUP.replace("chase", "chaise"), ["walker", "'chaise'", "chase"]),
        (GROUP + 'membind = "9"\n', ["walker", "--membind", "9"]),
        (GROUP + 'cpus = ""\n', ["walker", "physcpubind"]),
        (GROUP + 'cpus = "99"\n', ["walker", "99"]),
        (GROUP + 'pages = "3k"\n', ["walker", "3k"]),
        (GROUP + 'arrivals = "often"\n', ["arrivals", "often"]),
        ("page_tables = 9\n" + GROUP, ["page_tables", "9"]),
        ("seed = -1\n" + GROUP, ["seed", "-1"]),
        (GROUP + '[[region]]\nname = "chase"\nmembind = "9"\n', ["region chase", "9"]),
        (GROUP + '[[region]]\nname = "chase"\n' * 2, ["region chase", "twice"]),
        (GROUP + '[[region]]\nname = "chaes"\nmembind = "1"\n', ["chaes", "chase"]),
    ],
)
def test_mistakes_in_a_scenario_name_its_file(text: str, parts: list[str], cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text('machine = "teaching-2s"\n' + text)
    done = cli("run", "two.toml")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("numasim: two.toml: ")
    for part in parts:
        assert part in done.stderr


def test_each_group_has_page_tables_where_its_own_policy_says(tmp_path: Path) -> None:
    """Two groups that are each at home on a node of their own are mirror images: neither walks over the link."""
    import numasim as ns

    group = '[[group]]\nname = "{0}"\nworkload = "chase"\nsize = "64MiB"\ncpunodebind = "{0}"\nmembind = "{0}"\n'
    group += "warmup = 0\naccesses = 50_000\n"
    (tmp_path / "s.toml").write_text('machine = "teaching-2s"\n' + group.format(0) + group.format(1))
    groups = ns.run_scenario(ns.scenario(str(tmp_path / "s.toml"))).groups
    walk = [groups[name].access.stack_ns["tlb_walk"] for name in ("0", "1")]
    assert walk[0] > 50, "the page tables are larger than the caches"
    assert walk[1] == pytest.approx(walk[0], rel=0.02)


# ---- show ----------------------------------------------------------------------------------------------------------


def test_the_matrices_of_the_teaching_machine_are_its_sums() -> None:
    """models/teaching-2s.toml adds up 100 and 200 ns; a link carries 64 bytes in 9 ns, a node's two channels in 5."""
    machine = load("teaching-2s")
    assert np.abs(latency_matrix(machine) - [[100, 200], [200, 100]]).max() < 0.05
    bandwidth = bandwidth_matrix(machine)
    assert 4 * 2.56 > bandwidth[0, 0] > 0.85 * 4 * 2.56, "four cores with four lines on the way each, 100 ns a line"
    assert 64 / 9 > bandwidth[0, 1] > 0.85 * 4 * 1.28, "the same at 200 ns"


def test_a_longer_hop_shows_in_the_matrix_as_its_sum_says() -> None:
    further = load("teaching-2s", set={"links.bridge.latency_ns": 50.0})
    assert np.abs(latency_matrix(further) - [[100, 220], [220, 100]]).max() < 0.05


def test_show_is_for_machines_of_little_memory_too(cli: Cli) -> None:
    done = cli("show", "teaching-2s", "--set", "memory.dram.size_bytes=64MiB")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "Idle latency, ns (simulated): a row a node of cores, a column a memory" in lines, "in one line"
    assert "Read bandwidth, GB/s, of all cores of a node (simulated)" in lines


def test_show_takes_a_moment(cli: Cli) -> None:
    cli("show", "icx-8360y-2s-snc2")  # whoever is first compiles
    before = os.times().children_user
    assert cli("show", "icx-8360y-2s-snc2").returncode == 0
    assert os.times().children_user - before < 15


def test_help_is_at_once(cli: Cli) -> None:
    before = os.times().children_user + os.times().children_system
    assert cli("--help").returncode == 0
    assert os.times().children_user + os.times().children_system - before < 0.5
