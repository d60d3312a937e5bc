"""Is a process's memory told as it lies, and does a simulation that follows the rules place it so?"""

import json
import os
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from numasim.cli import trace_placement
from numasim.errors import UserError
from numasim.machine import load as load_machine
from numasim.study.scenario import load as load_scenario
from numasim.study.seats import placement_of
from numasim.traces import parquet
from numasim.traces.placement import Placed, place, region_names, toml
from numasim.traces.readers import numa_maps
from numasim.traces.readers.numa_maps import Area

DATA = Path(__file__).parents[1] / "data" / "traces"
KB = 1024


def test_lines_of_numa_maps() -> None:
    assert numa_maps.read(DATA / "numa_maps") == [
        Area(0x55D74CF13000, "python3.8", True, "default", 4096, {0: 4096}),
        Area(0x55D74E76D000, "heap", False, "default", 4096, {0: 471 * 4096}),
        Area(0x7F0CA4600000, "SYSV00000000", True, "default", 2 << 20, {1: 5 * (2 << 20)}),
        Area(0x7F3BCFE69000, "anonymous", False, "default", 4096, {0: 257944 * 4096, 1: 266345 * 4096}),
        Area(0xFFFE80000000, "anonymous", False, "bind:2", 4096, {2: 386088 * 4096, 5: 87726 * 4096}),
        Area(0xFFFF858D6000, "anonymous", False, "bind:2", 4096, {2: 4096}),
        Area(0xFFFF85F20000, "libc.so.6", True, "bind:2", 4096, {0: 271 * 4096}),
        Area(0x7FFC4C759000, "stack", False, "default", 4096, {0: 17 * 4096}),
    ]


def test_numastat() -> None:
    mb = 1 << 20
    assert [(area.name, area.nodes) for area in numa_maps.read(DATA / "numastat")] == [
        ("heap", {3: int(2050.13 * mb)}),
        ("stack", {3: int(0.02 * mb)}),
        ("anonymous", {0: int(0.51 * mb), 3: int(15.20 * mb)}),
    ]


def test_this_process() -> None:
    """The pages add up to what the kernel says is resident."""
    areas = numa_maps.read("/proc/self/numa_maps")
    resident = sum(sum(area.nodes.values()) for area in areas)
    words = Path("/proc/self/status").read_text().split()
    assert resident == pytest.approx(int(words[words.index("VmRSS:") + 1]) * KB, rel=0.2)
    assert {"heap", "stack"} <= {area.name for area in areas}


def test_numastat_of_this_process(program: object, tmp_path: Path) -> None:
    numastat = program("numastat")  # type: ignore[operator]
    told = subprocess.run([numastat, "-p", str(os.getpid())], capture_output=True, text=True, check=True).stdout
    (tmp_path / "told").write_text(told)
    by_name = {one.name: one.bytes for one in place(numa_maps.read(tmp_path / "told"))}
    mine = {one.name: one.bytes for one in place(numa_maps.read("/proc/self/numa_maps"))}
    assert by_name["heap"] == pytest.approx(mine["heap"], rel=0.1)


def test_areas_go_to_the_regions_there_are() -> None:
    areas = numa_maps.read(DATA / "numa_maps")
    assert [one.name for one in place(areas)] == ["anonymous", "files", "heap", "stack"]
    assert [one.name for one in place(areas, ["stack", "data"])] == ["data", "stack"]
    assert [one.name for one in place(areas, ["libc.so.6", "heap"])] == ["heap", "libc.so.6"]
    assert place(areas, ["none"]) == []
    files = next(one for one in place(areas) if one.name == "files")
    assert files.pages == {4096: 272 * 4096, 2 << 20: 10 << 20}
    assert files.page == "2m"


@pytest.mark.parametrize(
    ("nodes", "policy"),
    [
        ({1: 5}, ("membind", "1")),
        ({0: 257944, 1: 266345}, ("interleave", "0,1")),
        ({0: 1, 1: 111}, ("membind", "1")),
        ({0: 300, 3: 100}, ("weighted_interleave", "0:3,3:1")),
        ({2: 386088, 5: 87726}, ("weighted_interleave", "2:13,5:3")),
        (dict.fromkeys(range(64), 1000), ("interleave", ",".join(map(str, range(64))))),
    ],
)
def test_shares_become_a_policy(nodes: dict[int, int], policy: tuple[str, str]) -> None:
    assert Placed("heap", nodes, {4096: 1}).policy == policy


@given(st.dictionaries(st.integers(0, 63), st.integers(1, 2**40), min_size=1, max_size=64))
def test_a_policy_has_the_shares_it_is_made_of(nodes: dict[int, int]) -> None:
    """To half a part (a sixteenth, or a quarter of an even share) for each node; dropped nodes have less than that."""
    word, text = Placed("heap", nodes, {4096: 1}).policy
    weights = {int(n): int(w or 1) for n, _, w in (part.partition(":") for part in text.split(","))}
    total = sum(nodes.values())
    part = 1 / max(16, 4 * len(nodes))
    assert all(size / total <= part / 2 * 1.01 for node, size in nodes.items() if node not in weights)
    for node, weight in weights.items():
        share = weight / sum(weights.values())
        assert abs(share - nodes[node] / total) <= part * (1 + len(nodes)) / 2, (word, text)
    assert all(1 <= weight <= 255 for weight in weights.values())


def test_the_rules_are_a_scenarios(tmp_path: Path) -> None:
    """They load, and say what they were made of."""
    areas = [
        area._replace(nodes={n % 2: b for n, b in area.nodes.items()}) for area in numa_maps.read(DATA / "numa_maps")
    ]
    text = 'machine = "icx-8360y-2s"\n[[group]]\nworkload = "chase"\n\n' + toml(place(areas))
    (tmp_path / "s.toml").write_text(text)
    scenario = load_scenario(str(tmp_path / "s.toml"))
    machine = load_machine("icx-8360y-2s")
    rules = {rule.name: rule for rule in scenario.regions}
    assert str(placement_of(machine, rules["heap"])) == "--membind=0"
    assert rules["files"].pages == "2m"
    assert [table["name"] for table in tomllib.loads(text)["region"]] == ["anonymous", "files", "heap", "stack"]
    odd = toml([Placed('a "quoted" name', {0: 1}, {4096: 1})])
    assert tomllib.loads(odd)["region"][0]["name"] == 'a "quoted" name'


def test_regions_of_a_trace(tmp_path: Path) -> None:
    with parquet.Writer(tmp_path / "t.parquet") as writer:
        writer.write(parquet.Columns(np.array([0x1FF0000100, 0x4A00000], np.int64)))
        writer.commit(parquet.Meta(sites=["a"], threads=[1]))
    assert sorted(region_names(tmp_path / "t.parquet")) == ["data", "stack"]
    ranges = [parquet.Range("heap", 0x4A00000, 0x4B00000), parquet.Range("unused", 0x9000000, 0x9001000)]
    with parquet.Writer(tmp_path / "t.parquet") as writer:
        writer.write(parquet.Columns(np.array([0x4A00000], np.int64)))
        writer.commit(parquet.Meta(sites=["a"], threads=[1], regions=ranges))
    assert region_names(tmp_path / "t.parquet") == ["heap"]


app = typer.Typer()
app.command()(trace_placement.placement)
app.callback()(lambda: None)


def run(*words: str) -> str:
    return str(CliRunner().invoke(app, ["placement", *words], catch_exceptions=False).stdout)


def test_the_verb(tmp_path: Path) -> None:
    maps = str(DATA / "numa_maps")
    rules = tomllib.loads(run(maps))["region"]
    assert {"name": "heap", "membind": "0"} in rules
    assert {"name": "files", "weighted_interleave": "0:1,1:7", "pages": "2m"} in rules  # 1.1 of 11.1 MiB: 2 of 16
    told = json.loads(run(maps, "--json"))
    assert [region["name"] for region in told["regions"]] == ["anonymous", "files", "heap", "stack"]
    assert len(told["areas"]) == 8
    with parquet.Writer(tmp_path / "t.parquet") as writer:
        writer.write(parquet.Columns(np.array([0x4A00000], np.int64)))
        writer.commit(parquet.Meta(sites=["a"], threads=[1], regions=[parquet.Range("other", 0x4A00000, 0x4B00000)]))
    for words, what in (
        ([maps, "--trace", str(tmp_path / "t.parquet")], "none of the regions other"),
        ([""], "nothing"),
    ):
        with pytest.raises(UserError, match=what):
            run(*words)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no memory on any node"),
        ("7ffc4c796000 default\n", "no memory on any node"),
        ("7ffc4c796000 default N0=1\nhello\n", "maps:2: not understood: 'hello'"),
        ("root:x:0:0\n", "maps:1: not understood"),
        ("Heap 1.0 2.0\n", "maps:1: not understood"),
        ("        Node 0   Node 1   Total\nHeap  1.0 2.0\n", "maps:2: 2 numbers"),
        ("        Node 0   Node 1   Total\nHeap  1.0 2.0 3.x\n", "maps:2: not understood"),
        (f"7ffc4c796000 default N0={1 << 70}\n", "maps:1: more bytes than there are addresses"),
        ("7ffc4c796000 default N0=1", "maps: cut short"),
    ],
)
def test_what_is_neither_is_told_in_one_line(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "maps").write_text(text)
    with pytest.raises(UserError) as caught:
        numa_maps.read(tmp_path / "maps")
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_or_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="cannot be read"):
            numa_maps.read(path)
