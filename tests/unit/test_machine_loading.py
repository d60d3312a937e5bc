"""Does a machine file load as written, and is every mistake in it answered in one line with file, key, expectation?"""

import subprocess
import sys
from pathlib import Path

import pytest

from numasim import machine
from numasim.errors import UserError


@pytest.fixture(scope="module")
def text() -> str:
    return machine.load("teaching-2s").to_toml()


def complaint(text: str, set: dict[str, object] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        machine.from_toml_text(text, set or {}, "m.toml")
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_values_are_as_written() -> None:
    icx = machine.load("icx-8360y-2s")
    assert icx.core.frequency_ghz == 3.1
    assert icx.l1d == type(icx.l1d)(size_bytes=48 * 1024, ways=12, latency_cycles=5, policy="lru")
    assert icx.l2.size_bytes == 1280 * 1024
    assert icx.l3.size_bytes == 54 * 2**20
    assert icx.links["upi"].pairs == (("socket0", "socket1"),)
    assert icx.memory["dram"].size_bytes == 128 * 2**30  # written "128GiB"
    assert isinstance(icx.os.tick_hz, float)  # written as a whole number


def test_a_path_loads_like_a_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(machine.load("teaching-2s").to_toml())
    assert machine.load(path) == machine.load(str(path)) == machine.load("teaching-2s")


def test_defaults_fill_what_may_be_left_out(text: str) -> None:
    tables = machine.load("teaching-2s").expanded()
    del tables["prefetch"], tables["os"], tables["description"], tables["sources"]
    del tables["topology"]["threads_per_core"]  # type: ignore[attr-defined]
    del tables["memory"]["dram"]["starvation_ns"]  # type: ignore[index]
    small = machine.from_tables(tables)
    assert not small.prefetch.streamer
    assert (small.os.tick_hz, small.shape.threads_per_core, small.memory["dram"].starvation_ns) == (0, 1, 400)
    assert "core.rob_entries" in small.unsourced()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "rob_entries = 32",
            "rob_entires = 32",
            "m.toml: core: unknown key 'rob_entires' (expected rob_entries, a whole",
        ),
        (
            "latency_ns = 40.0",
            "latency_us = 0.04",
            "m.toml: links.bridge: unknown key 'latency_us' (expected latency_ns, a",
        ),
        ("l1_4k_ways = 8", "l1_4k_wayz = 8", "m.toml: tlb: unknown key 'l1_4k_wayz' (expected l1_4k_ways, a whole"),
        ("[fabric]", "[fabrik]", "m.toml: unknown key 'fabrik' (expected fabric, a table [fabric])"),
        ("frequency_ghz = 1.0", 'frequency_ghz = "1 GHz"', "m.toml: core.frequency_ghz: '1 GHz' is of the wrong type"),
        (
            "frequency_ghz = 1.0",
            "frequency_ghz = 1000",
            "core.frequency_ghz: 1000 is out of range (expected a number of GHz",
        ),
        ("frequency_ghz = 1.0", "frequency_ghz = nan", "core.frequency_ghz: nan is out of range"),
        (
            "issue_width = 1\n",
            "issue_width = 1.5\n",
            "core.issue_width: 1.5 is of the wrong type (expected a whole number",
        ),
        (
            "issue_width = 1\n",
            "issue_width = true\n",
            "core.issue_width: True is of the wrong type (expected a whole number",
        ),
        ("issue_width = 1\n", "", "m.toml: core: missing key 'issue_width' (expected a whole number from 1 to 16)"),
        (
            'policy = "lru"',
            'policy = "plru"',
            "l1d.policy: 'plru' does not fit (expected one of lru, random, rrip, tree-plru)",
        ),
        ("streamer = false", "streamer = 0", "prefetch.streamer: 0 does not fit (expected true or false)"),
        ("size_bytes = 1024\n", 'size_bytes = "1 lot"\n', "l1d.size_bytes: unknown unit in '1 lot'"),
        (
            "size_bytes = 1024\n",
            "size_bytes = 1536\n",
            "l1d.size_bytes: 1536 bytes in 2 ways make 12 sets (expected a power",
        ),
        ("slices = 4", "slices = 3", "l3.size_bytes: 65536 bytes in 8 ways and 3 slices make 42.6667 sets a slice"),
        ("ways = 8\nslices", "ways = 64\nslices", "l3.ways: 64 is out of range (expected a whole number from 1 to 32)"),
        (
            "l2_ways = 4",
            "l2_ways = 5",
            "tlb.l2_entries: 32 entries in 5 ways make 6.4 sets (expected a power of two of sets)",
        ),
        (
            "prefetch_buffers = 0",
            "prefetch_buffers = 118",
            "core.prefetch_buffers: 122 misses outstanding (expected at most 120",
        ),
        ("nodes = [0, 1]", "nodes = [0]", "m.toml: memory: node 1 has no memory (expected nodes without a gap)"),
        ("nodes = [0, 1]", "nodes = [0, 1, 1]", "memory.dram.nodes: node 1 has a memory already, dram"),
        (
            "nodes = [0, 1]",
            "nodes = [0, 1, 2]",
            "memory.dram.vertex: node 2 has no CPUs (expected `vertex` for the nodes from 2",
        ),
        (
            "nodes = [0, 1]",
            "nodes = []",
            "memory.dram.nodes: [] has the wrong length (expected a list of node numbers)",
        ),
        ("nodes = [0, 1]", "nodes = 2", "memory.dram.nodes: 2 does not fit (expected a list of node numbers)"),
        ("banks_per_group = 8", "banks_per_group = 6", "memory.dram.banks_per_group: 6 (expected a power of two)"),
        (
            "ranks = 1",
            "ranks = 16",
            "memory.dram.ranks: 128 banks a channel (expected ranks x groups x banks to be at most 64)",
        ),
        ("write_low = 4", "write_low = 12", "memory.dram.write_low: write_low 12 is not below write_high 12"),
        ("trcd_ns = 20.0\n", "", "m.toml: memory.dram: missing key 'trcd_ns' (expected a number of nanoseconds from 0"),
        (
            'kind = "ddr"',
            'kind = "curve"',
            "m.toml: memory.dram: missing key 'curve' (expected a list of pairs [GB/s, ns])",
        ),
        (
            'kind = "ddr"',
            'kind = "ddr"\npeak_gbps = 9',
            "memory.dram.peak_gbps: peak_gbps has no meaning for kind 'ddr'",
        ),
        ("[links.bridge]", '[links."bridge.1"]', "m.toml: links: bad name 'bridge.1' (expected a letter, then letters"),
        ("socket1", "sokcet1", "links.bridge.pairs: no vertex 'sokcet1' (expected socket1)"),
        (
            "nodes_per_socket = 1",
            "nodes_per_socket = 2",
            "topology.nodes_per_socket: 2 nodes cannot share 1 domains evenly",
        ),
        ("sockets = 2", "sockets = 9", "topology.sockets: 9 is out of range (expected a whole number from 1 to 8)"),
        ("cores_per_domain = 4", "cores_per_domain = 0", "topology.cores_per_domain: 0 is out of range"),
        ('"*" = "assumed: ', '"*" = "guessed: ', 'does not say what it is (expected "specified: ..."'),
        ("[core]", "[core", "m.toml: is not TOML: "),
        ("[l1d]", "[l1d]\nways = 1\n[l1d]", "m.toml: is not TOML: "),
    ],
)
def test_mistakes_are_answered(text: str, old: str, new: str, expected: str) -> None:
    assert old in text
    assert expected in complaint(text.replace(old, new, 1))


def test_a_missing_table_is_named(text: str) -> None:
    start, end = text.index("[tlb]"), text.index("[prefetch]")
    assert complaint(text[:start] + text[end:]) == "m.toml: missing key 'tlb' (expected a table [tlb])"
    assert complaint("") == "m.toml: missing key 'name' (expected text in quotes)"


def test_unquoted_dotted_sources_are_answered(text: str) -> None:
    broken = text.replace('"*" = "assumed', 'l1d.size_bytes = "assumed')
    assert "sources.l1d: {'size_bytes'" in complaint(broken)


def test_curve_memory_and_its_mistakes(text: str) -> None:
    head = text[: text.index("channels = 2")].replace('kind = "ddr"', 'kind = "curve"')
    tail = text[text.index("[os]") :]
    curve = "peak_gbps = 20\ncurve = [[0, 90], [10, 100.5], [18, 250]]\n"
    loaded = machine.from_toml_text(head + curve + tail)
    assert loaded.memory["dram"].curve == ((0.0, 90.0), (10.0, 100.5), (18.0, 250.0))
    assert {"memory.dram.curve", "memory.dram.tcl_ns"} & set(loaded.values()) == {"memory.dram.curve"}
    assert machine.from_toml_text(loaded.to_toml()) == loaded
    assert "curve ends at 18 GB/s" in complaint(head + curve.replace("20", "15") + tail)
    assert "the curve does not rise" in complaint(head + curve.replace("[10,", "[0,") + tail)
    assert "has the wrong length" in complaint(head + curve.replace("[0, 90]", "[0]") + tail)
    assert "no meaning for kind 'curve'" in complaint(head + curve + "tcl_ns = 1\n" + tail)


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("links.bridge.latency_ns", "60", 60.0),
        ("links.bridge.latency_ns", 60, 60.0),
        ("links.bridge.count", "3", 3),
        ("l1d.size_bytes", "2KiB", 2048),
        ("l1d.size_bytes", 4096, 4096),
        ("core.rob_entries", "1k", 1000),
        ("core.branch_predictor", "perfect", "perfect"),
        ("prefetch.streamer", "on", True),
        ("prefetch.streamer", "false", False),
        ("prefetch.streamer", True, True),
        ("memory.dram.channels", "1", 1),
        ("memory.dram.trfc_ns", "0", 0.0),
        ("links.bridge.pairs", '[["socket1", "socket0"]]', (("socket1", "socket0"),)),
    ],
)
def test_set_changes_one_value_and_its_source(key: str, value: object, read: object) -> None:
    before, after = machine.load("teaching-2s"), machine.load("teaching-2s", {key: value})
    assert after.values()[key] == read
    assert after.source(key).startswith("set:")
    assert {k: v for k, v in after.values().items() if k != key} == {
        k: v for k, v in before.values().items() if k != key
    }


def test_set_reaches_tables_the_file_leaves_out(text: str) -> None:
    without = text[: text.index("[os]")] + text[text.index("[sources]") :]
    assert machine.from_toml_text(without, {"os.tick_hz": "250"}).os.tick_hz == 250


def test_a_set_value_is_not_fitted_any_more() -> None:
    key = "links.upi.latency_ns"
    assert key in machine.load("icx-8360y-2s").fitted()
    assert key not in machine.load("icx-8360y-2s", {key: "60"}).fitted()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("links.upi.latency_ns", "60", "--set links.upi.latency_ns: no table 'upi' (expected one of bridge)"),
        ("link.bridge.count", "2", "--set link.bridge.count: unknown key 'link' (expected links, a table [links])"),
        ("links.bridge.latency_us", "1", "unknown key 'latency_us' (expected latency_ns, a number of nanoseconds"),
        ("frequency_ghz", "2", "--set frequency_ghz: unknown key 'frequency_ghz' (expected core.frequency_ghz)"),
        ("l1d", "2", "--set l1d: is a table (expected a key in it, such as size_bytes)"),
        ("links", "2", "--set links: is a table (expected a key in it, such as bridge)"),
        ("l1d.ways.more", "2", "unknown key 'l1d.ways.more' (expected no further part)"),
        ("sources.l1d", "x", "--set sources.l1d: sources are not set"),
        ("", "2", "--set : unknown key ''"),
        ("l1d.ways", "many", "--set l1d.ways: 'many' is not a number"),
        ("l1d.ways", "40", "--set l1d.ways: 40 is out of range (expected a whole number from 1 to 32)"),
        ("l1d.ways", "3", "--set l1d.ways: 1024 bytes in 3 ways make 5.33333 sets"),
        ("l3.slices", "5", "--set l3.slices: 65536 bytes in 8 ways and 5 slices make 25.6 sets a slice"),
        ("fabric.mesh_ns", "fast", "--set fabric.mesh_ns: 'fast' is not a number (expected a number of nanoseconds"),
        ("fabric.mesh_ns", "-1", "--set fabric.mesh_ns: -1.0 is out of range (expected a number of nanoseconds from 0"),
        ("fabric.mesh_ns", "inf", "--set fabric.mesh_ns: inf is out of range"),
        ("prefetch.streamer", "maybe", "--set prefetch.streamer: 'maybe' does not fit (expected true or false)"),
        ("links.bridge.pairs", "[[", "--set links.bridge.pairs: '[[' is not a list (expected a list of pairs such as"),
        (
            "memory.dram.size_bytes",
            "3MiB",
            "--set memory.dram.size_bytes: 3145728 bytes (expected a multiple of 2 MiB)",
        ),
        ("topology.sockets", "4", "--set topology.sockets: no link leads from socket0 to socket2"),
    ],
)
def test_bad_sets_are_answered(text: str, key: str, value: object, expected: str) -> None:
    if key == "topology.sockets":
        text = text.replace("nodes = [0, 1]", "nodes = [0, 1, 2, 3]")
    assert expected in complaint(text, {key: value})


def test_sockets_without_their_memory_are_answered(text: str) -> None:
    assert complaint(text, {"topology.sockets": 4}) == (
        "--set topology.sockets: node 2 has no memory (expected nodes without a gap)"
    )


def test_no_such_model_or_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no machine model 'icx-8360y' \(expected icx-8360y-2s\)"):
        machine.load("icx-8360y")
    with pytest.raises(UserError, match=r"expected a TOML file or one of .*teaching-2s"):
        machine.load("quantum")
    for bad in (tmp_path / "none.toml", tmp_path, str(tmp_path / "none.toml")):
        with pytest.raises(UserError, match="expected a machine model in TOML"):
            machine.load(bad)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is no text"):
        machine.load(tmp_path / "binary.toml")


def test_importing_and_loading_need_no_heavy_package() -> None:
    code = "import sys, numasim.machine as m; m.load('icx-8360y-2s'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "networkx", "numba", "scipy"} & set(done.stdout.split())


def test_keys_of_nested_walks_have_a_meaning_only_with_them() -> None:
    with pytest.raises(UserError, match=r"--set tlb.host_page: host_page has no meaning for native walks"):
        machine.load("teaching-2s", {"tlb.host_page": "2m"})
    with pytest.raises(UserError, match=r"--set tlb.host_run: host_run has no meaning for host pages of 2m"):
        machine.load("teaching-2s", {"tlb.walk": "nested", "tlb.host_page": "2m", "tlb.host_run": 512})
    assert machine.load("teaching-2s", {"tlb.walk": "nested", "tlb.host_run": 512}).tlb.host_run == 512
    nested = machine.load("teaching-2s", {"tlb.walk": "nested", "tlb.host_page": "2m"})
    assert nested.tlb.host_page == "2m"
    again = machine.from_toml_text(nested.to_toml())
    assert again.tlb == nested.tlb
    native = machine.load("teaching-2s").to_toml()
    assert 'walk = "native"' in native and "nested_entries" not in native
    assert machine.from_toml_text(nested.to_toml(), {"tlb.walk": "native"}).to_toml().count("nested") == 0


def test_a_nested_tlb_has_a_power_of_two_of_sets() -> None:
    with pytest.raises(UserError, match="a power of two of sets"):
        machine.load("teaching-2s", {"tlb.walk": "nested", "tlb.nested_entries": 24, "tlb.nested_ways": 4})
