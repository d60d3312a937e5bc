"""Does a model of a real computer say what the computer tells of itself, and mark everything else as assumed?"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from numasim import machine
from numasim.cli import machine as verbs
from numasim.errors import UserError
from numasim.machine import detect, sources, sysfs
from numasim.machine.detect import Detected
from numasim.machine.detect_host import HostCache, Processor, cpus_of_list, cpus_of_mask
from numasim.machine.detect_links import kind_of
from numasim.machine.detect_shape import Plan
from numasim.machine.nearest import GENERATIONS, generation_of, ranked
from numasim.machine.schema import TABLE_NAME
from unit.sysfs_tree import CPU, NODE, build, files_of, unpack

MODELS = machine.names()
KIB, MIB = 2**10, 2**20


def model(root: Path, base: str | None = None) -> Detected:
    return detect.model_of(sysfs.read(root), "here", base)


def small(folder: Path, **changed: str) -> Path:
    """The teaching machine's tree with some files other; an empty text leaves a file out. __ stands for /."""
    files = files_of(machine.load("teaching-2s"))
    for name, text in changed.items():
        files[name.replace("__", "/")] = text
    return build({path: text for path, text in files.items() if text}, folder)


def complaint(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        model(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# (sockets, domains a socket, cores a domain, CPUs a core, nodes a socket), L1D, L2, L3: of Intel's data sheets, but for
# the last two, which stand for no real machine
SHAPES = {
    "nehalem-1s": ((1, 1, 4, 2, 1), 32 * KIB, 256 * KIB, 8 * MIB),
    "silver-4108-2s": ((2, 1, 8, 2, 1), 32 * KIB, MIB, 11 * MIB),
    "e7-4870-4s": ((4, 1, 10, 1, 1), 32 * KIB, 256 * KIB, 30 * MIB),
    "xeon-offline-4s": ((1, 4, 2, 2, 1), 16 * KIB, MIB, 4 * MIB),
    "phi-snc4-mcdram": ((1, 4, 4, 4, 4), 32 * KIB, 2 * MIB, None),
    "hbm-nvm-tiers": ((1, 3, 2, 1, 3), 32 * KIB, 4 * MIB, 5460 * KIB),
}


@pytest.mark.parametrize("name", SHAPES)
def test_real_servers_are_as_their_data_sheets_say(name: str, tmp_path: Path) -> None:
    found = model(unpack(name, tmp_path)).machine
    shape, l1d, l2, l3 = SHAPES[name]
    assert tuple(found.expanded()["topology"].values()) == shape  # type: ignore[attr-defined]
    assert (found.l1d.size_bytes, found.l2.size_bytes) == (l1d, l2)
    assert found.l3.size_bytes == l3 or (l3 is None and found.source("l3.size_bytes").startswith("assumed"))


@pytest.mark.parametrize("name", SHAPES)
def test_every_value_is_told_or_assumed_and_says_from_where(name: str, tmp_path: Path) -> None:
    found = model(unpack(name, tmp_path))
    assert found.base in MODELS
    assert found.machine.unsourced() == []
    assert sources.idle(found.machine.sources, found.machine.values()) == []
    told = found.keys("specified")
    assert set(told) | set(found.keys("assumed")) == set(found.machine.values())
    assert {"topology.sockets", "l1d.size_bytes", "memory.dram.nodes", "memory.dram.size_bytes"} <= set(told)
    tables = {key.partition(".")[0] for key in told}
    assert tables <= {"topology", "l1d", "l2", "l3", "links", "memory"}
    assert all("assumed: as " in found.machine.source(key) for key in ("core.rob_entries", "tlb.l2_entries"))
    assert machine.from_toml_text(detect.text_of(found)) == found.machine


@pytest.mark.parametrize("name", MODELS)
def test_a_models_own_tree_gives_the_model_back(name: str, tmp_path: Path) -> None:
    """Written as Linux would tell of it, read again with itself as the base: the same but for names of far memories."""
    known = machine.load(name, {"topology.cores_per_domain": 3})  # as few files as tell it from others
    found = model(build(files_of(known), tmp_path), base=name).machine
    assert found.shape == known.shape
    assert (found.l1d, found.l2, found.tlb, found.fabric) == (known.l1d, known.l2, known.tlb, known.fabric)
    assert (found.l3.size_bytes, found.l3.ways) == (known.l3.size_bytes, known.l3.ways)
    assert [one.size_bytes for one in found.node_memory] == [one.size_bytes for one in known.node_memory]
    assert found.node_memory[0].channels == known.node_memory[0].channels
    assert linked_sockets(found) == linked_sockets(known)


def linked_sockets(model: machine.Machine) -> set[tuple[int, int]]:
    """Pairs of sockets that a link joins, at their hubs or at a domain of each."""
    sockets = {
        vertex: model.topology.domain_socket[domain] for domain, vertex in enumerate(model.topology.domain_vertex)
    }
    sockets |= {model.topology.vertex(f"socket{socket}"): socket for socket in range(model.shape.sockets)}
    ends = [(sockets.get(edge.source, -1), sockets.get(edge.target, -1)) for edge in model.topology.edges]
    return {(one, other) for one, other in ends if one != other and -1 not in (one, other)}


def plan_like(model: machine.Machine) -> Plan:
    levels = {"l1d": model.l1d, "l2": model.l2, "l3": model.l3}
    caches = {name: (cache.size_bytes, cache.ways) for name, cache in levels.items()}
    return Plan(shape=model.shape, nodes=(), far=(), attached=(), caches=caches, doubts={}, notes=())


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("teaching")])
def test_a_model_is_the_nearest_to_a_host_like_it(name: str) -> None:
    known = machine.load(name)
    code = name.partition("-")[0]
    same = [one for one in GENERATIONS if one.code == code or any(word in known.description for word in one.words)]
    assert same, "numasim/machine/nearest.py knows the processors of all shipped models"
    one = same[0]
    processor = Processor(one.vendor, one.family, min(one.models), min(one.steppings), "")
    assert generation_of(processor) == one
    order = ranked(processor, plan_like(known))
    assert [each.distance for each in order if each.machine.name == name] == [order[0].distance] == [0.0]


def test_the_distance_counts_generations_and_doublings() -> None:
    plan = plan_like(machine.load("icx-8360y-2s"))
    ice, cascade, genoa, arm = (
        ("GenuineIntel", 6, 0x6A),
        ("GenuineIntel", 6, 0x55, 7),
        ("AuthenticAMD", 0x19, 0x11),
        ("ARM", 0x41, 0xD40),
    )

    def distances(processor: tuple[object, ...]) -> dict[str, float]:
        return {one.machine.name: one.distance for one in ranked(Processor(*processor), plan)}  # type: ignore[arg-type]

    assert distances(ice)["icx-8360y-2s"] == 0
    assert distances(ice)["icx-8360y-2s-snc2"] == 1.25  # half the cores a domain, twice the nodes a socket
    assert distances(cascade)["icx-8360y-2s"] == 2  # Cooper Lake is between
    assert distances(genoa)["icx-8360y-2s"] == 8
    assert distances(arm)["icx-8360y-2s"] == 12
    assert distances(ice)["teaching-2s"] > 24


def test_generations_are_those_of_the_kernels_lists() -> None:
    intel, amd = "GenuineIntel", "AuthenticAMD"
    known = {
        (intel, 6, 0x55, 4): "skx", (intel, 6, 0x55, 7): "clx", (intel, 6, 0x8F, 8): "spr", (intel, 6, 0x3F, 2): "hsw",
        (amd, 0x17, 0x31, 0): "rome", (amd, 0x19, 0x01, 1): "milan", (amd, 0x19, 0x11, 1): "genoa",
        (amd, 0x1A, 0x02, 1): "turin", ("ARM", 0x41, 0xD0C, 1): "graviton2",
    }  # fmt: skip
    for processor, code in known.items():
        one = generation_of(Processor(*processor))
        assert one and one.code == code, processor
    assert generation_of(Processor("GenuineIntel", 15, 4, 8)) is None
    assert all(TABLE_NAME.fullmatch(one.code) for one in GENERATIONS)


def test_what_is_not_told_is_as_in_the_base(tmp_path: Path) -> None:
    unpack("silver-4108-2s", tmp_path)
    nearest, asked = model(tmp_path), model(tmp_path, base="teaching-2s")
    assert asked.base == "teaching-2s"
    assert "# Huge pages of the system: 2 MiB, 1 GiB.\n" in detect.text_of(asked)
    teaching = machine.load("teaching-2s")
    assert (asked.machine.core, asked.machine.tlb, asked.machine.fabric) == (
        teaching.core,
        teaching.tlb,
        teaching.fabric,
    )
    assert asked.machine.links["bridge"] == teaching.links["bridge"]
    assert nearest.machine.tlb == machine.load(nearest.base).tlb
    for found in (nearest, asked):
        assert found.machine.source("tlb.l2_entries") == f"assumed: as {found.base}"
        assert found.machine.source("l3.size_bytes") == f"specified: sysfs in {tmp_path.name}"
    with pytest.raises(UserError, match="no machine model 'quantum'"):
        model(tmp_path, base="quantum")


def test_four_sockets_are_linked_as_their_distances_say(tmp_path: Path) -> None:
    found = model(unpack("e7-4870-4s", tmp_path)).machine
    assert {frozenset((e.source, e.target)) for e in found.topology.edges} == {
        frozenset((a, b)) for a in range(4) for b in range(a)
    }
    ring = ["10 21 31 21", "21 10 21 31", "31 21 10 21", "21 31 21 10"]
    for node, text in enumerate(ring):
        (tmp_path / NODE / f"node{node}/distance").write_text(text)
    found = model(tmp_path).machine
    (name,) = found.links  # named as the nearest model's, whichever that is
    assert found.links[name].pairs == (
        ("socket0", "socket1"),
        ("socket0", "socket3"),
        ("socket1", "socket2"),
        ("socket2", "socket3"),
    )
    assert found.source(f"links.{name}.pairs") == "assumed: sockets at the smallest distance are linked"
    for node in range(4):  # two pairs far apart: the smallest distance alone joins not all
        (tmp_path / NODE / f"node{node}/distance").write_text(
            ["10 15 40 40", "15 10 40 40", "40 40 10 15", "40 40 15 10"][node]
        )
    (link,) = model(tmp_path).machine.links.values()
    assert len(link.pairs) == 6


def test_links_of_clusters_are_parts_of_their_socket() -> None:
    known = machine.load("genoa-9224-2s-cxl")
    kinds = {edge.link: kind_of(known, edge) for edge in known.topology.edges}
    assert kinds == {"gmi": "on-die", "ondie": "on-die", "xgmi": "sockets", "cxl": "memory"}


def test_holes_in_the_numbers_of_nodes_are_closed_and_said(tmp_path: Path) -> None:
    found = model(unpack("opteron-sparse-4s", tmp_path))
    assert found.machine.topology.nodes == 8
    assert found.machine.shape.sockets * found.machine.shape.nodes_per_socket == 8
    assert any(note.startswith("nodes 0-7 are the host's 0, 1, ") and "72, 73" in note for note in found.notes)


def test_cpus_that_are_off_are_counted_and_domains_rounded_up(tmp_path: Path) -> None:
    found = model(unpack("xeon-offline-4s", tmp_path))
    assert any(note.startswith("4 CPU(s) are off") for note in found.notes)
    assert found.machine.source("topology.cores_per_domain").startswith("assumed: 2 cores in the fullest domain")
    assert any("4 packages: they are taken as one socket" in note for note in found.notes)


def test_memory_without_cpus_hangs_where_it_is_nearest(tmp_path: Path) -> None:
    far = f"{NODE}/node2"
    files = {f"{far}/cpulist": "", f"{far}/meminfo": "Node 2 MemTotal: 2097152 kB", f"{far}/distance": "31 17 10"}
    files |= {f"{NODE}/node0/distance": "10 21 31", f"{NODE}/node1/distance": "21 10 17"}
    small(tmp_path)
    found = model(build(files, tmp_path)).machine
    assert found.topology.nodes == 3
    assert found.node_memory[2].size_bytes == 2**31
    assert found.topology.node_cpus(2) == []
    assert found.links["far"].pairs == (("socket1", "far0"),)
    assert found.source("memory.far0.vertex").startswith("specified")
    assert found.topology.distance(1, 2) < found.topology.distance(0, 2)
    build({f"{far}/access0/initiators/node0/": ""}, tmp_path)  # ACPI's HMAT says otherwise, and is asked first
    assert model(tmp_path).machine.links["far"].pairs == (("socket0", "far0"),)


def test_an_l3_of_several_nodes_is_divided(tmp_path: Path) -> None:
    """As sub-NUMA clusters are told: the L3 of the socket, its nodes within."""
    known = machine.load("icx-8360y-2s-snc2", {"topology.cores_per_domain": 3})
    files = files_of(known)
    for path in files:
        cpu = path.removeprefix(f"{CPU}/cpu").partition("/")[0]
        if path.endswith("cache/index2/size"):
            files[path] = f"{54 * 1024}K"
        if path.endswith("cache/index2/shared_cpu_map"):
            files[path] = files[f"{CPU}/cpu{cpu}/topology/core_siblings"]
    found = model(build(files, tmp_path)).machine
    assert (found.shape, found.l3.size_bytes) == (known.shape, 27 * MIB)
    assert found.source("l3.size_bytes") == "assumed: a node's share: 54 MiB for 2 nodes"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lakefield-hybrid", "its cores are not alike: L1D of 32 KiB and 48 KiB (expected a machine of like"),
        ("kunpeng-920-2s", "caches with lines of 128 bytes (expected lines of 64 bytes)"),
        ("node-offline-2s", "CPU(s) 4,6,8,10,12,14,16,18,20 are on no node (expected each CPU in the cpulist"),
    ],
)
def test_machines_no_model_can_be_are_refused(name: str, expected: str, tmp_path: Path) -> None:
    assert expected in complaint(unpack(name, tmp_path))


CPU0, NODE0 = "sys__devices__system__cpu__cpu0", "sys__devices__system__node__node0"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({f"{NODE0}__cpulist": "0-"}, "node0/cpulist: '0-' is no list of numbers (expected such as 0-3,8)"),
        ({f"{NODE0}__cpulist": "3-0"}, "node0/cpulist: '3-0' is no range of CPUs"),
        ({f"{NODE0}__cpulist": "0-99999999"}, "node0/cpulist: '0-99999999' is no range of CPUs"),
        ({f"{NODE0}__cpulist": "0-2"}, "CPU(s) 3 are on no node"),
        ({f"{NODE0}__meminfo": ""}, "node 0 has CPUs and no memory (expected memory on every node)"),
        ({f"{CPU0}__cache__index0__size": "2K"}, "its cores are not alike: L1D of 1 KiB and 2 KiB"),
        ({f"{CPU0}__cache__index2__level": "4"}, "32 MiB"),
        ({"sys__devices__system__cpu__online": "100-200"}, "no CPU is told"),
        ({f"{CPU0}__topology__thread_siblings": "zero"}, "'zero' is no mask of CPUs"),
    ],
)  # fmt: skip
def test_broken_trees_are_answered(changed: dict[str, str], expected: str, tmp_path: Path) -> None:
    small(tmp_path, **changed)
    if expected == "32 MiB":  # an L3 that one CPU calls an L4 is still the others' L3
        assert model(tmp_path).machine.l3.size_bytes == 64 * KIB
    else:
        assert expected in complaint(tmp_path)


def test_what_is_no_tree_is_answered(tmp_path: Path) -> None:
    assert "no /sys/devices/system/cpu (expected Linux's sysfs, or a copy of it)" in complaint(tmp_path)
    (tmp_path / "file").write_text("")
    assert "no /sys/devices/system/cpu" in complaint(tmp_path / "file")
    assert "no /sys/devices/system/cpu" in complaint(tmp_path / "none")
    build({f"{CPU}/": ""}, tmp_path)
    assert "no CPU is told (expected folders cpu0, cpu1, ...)" in complaint(tmp_path)


def test_a_tree_with_cpus_alone_is_one_socket_and_the_rest_assumed(tmp_path: Path) -> None:
    found = model(
        build(
            {
                f"{CPU}/cpu0/": "",
                f"{CPU}/cpu1/": "",
                "proc/cpuinfo": "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
            },
            tmp_path,
        )
    )
    assert (found.machine.topology.cpus, found.machine.topology.nodes) == (2, 1)
    assert {"no L1D is told", "no L2 is told", "no L3 is told"} <= set(found.notes)
    assert found.machine.source("memory.dram.size_bytes").startswith("assumed: as ")
    assert not [key for key in found.keys("specified") if key.startswith("l")]


def test_sizes_that_make_no_power_of_two_of_sets_are_rounded_and_said(tmp_path: Path) -> None:
    """The 5118 KiB in 48 ways of an Opteron whose probe filter takes a part of 6 MiB."""
    found = model(unpack("opteron-sparse-4s", tmp_path)).machine
    assert 5118 * KIB - 64 * KIB < found.l3.size_bytes <= 5118 * KIB
    assert found.source("l3.size_bytes") == "assumed: 5240832 bytes told"
    assert found.source("l3.ways").startswith("assumed: 48 told")


def test_lists_and_masks_are_read_as_the_kernel_writes_them() -> None:
    assert cpus_of_list("0-3,8,10-11", "f") == {0, 1, 2, 3, 8, 10, 11}
    assert cpus_of_list("", "f") == frozenset()
    assert cpus_of_mask("00000001,80000003", "f") == {0, 1, 31, 32}
    assert cpus_of_mask("0x00010000,,0x1", "f") == {0, 80}
    for bad in ("xyz", "1ffffffff", "-1"):
        with pytest.raises(UserError, match="is no mask of CPUs"):
            cpus_of_mask(bad, "f")


def test_this_host_is_read() -> None:
    host = sysfs.read()
    assert host.told == "sysfs of this host"
    assert all(isinstance(cache, HostCache) for cache in host.caches)
    assert frozenset().union(*host.cores) == frozenset().union(*host.packages)


def test_the_verb_writes_a_model_that_loads_shows_and_runs(
    tmp_path: Path, cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    root, file = unpack("e7-4870-4s", tmp_path / "tree"), tmp_path / "here.toml"
    answer = CliRunner().invoke(verbs.app, ["detect", "--root", str(root), "-o", str(file)])
    assert answer.exit_code == 0, answer.output
    assert "here.toml: 4 socket(s), 4 node(s), 4 L3 domain(s), 40 cores, 40 CPUs" in answer.output
    assert machine.load(file).name == "here"
    shown = cli("show", str(file), "--no-simulate")
    assert "E7- 4870" in shown.stdout
    assert "assumed, as " in shown.stdout.partition("Where the values come from")[2]
    ran = cli("run", str(file), "chase", "size=1MiB", "accesses=2000", "-N", "0", "-m", "3", "--json")
    assert json.loads(ran.stdout)["access"]["count"] == 2000, ran.stderr


def test_the_verb_prints_what_it_does_not_write(tmp_path: Path) -> None:
    root = unpack("nehalem-1s", tmp_path)
    text = CliRunner().invoke(verbs.app, ["detect", "--root", str(root)]).output
    assert machine.from_toml_text(text).shape.cores_per_domain == 4
    marks = [
        line.rpartition("# ")[2]
        for line in text.partition("\n[sources]")[0].splitlines()
        if " = " in line and "#" in line
    ]
    assert set(marks) == {"specified", "assumed"}
    value = json.loads(CliRunner().invoke(verbs.app, ["detect", "--root", str(root), "--json"]).output)
    assert value["base"] in MODELS
    assert set(value["specified"]) | set(value["assumed"]) == set(machine.from_toml_text(text).values())
    assert value["parameters"]["topology"]["cores_per_domain"] == 4


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-o", "here"], "'here' is no name of a model's file (expected a name that ends in .toml)"),
        (["-o", "none/here.toml"], "none/here.toml: cannot be written (expected a file in a folder that is there)"),
        (["-o", ""], "'' is no name of a model's file"),
        (["--root", ""], "--root: nothing is given"),
    ],
)
def test_the_verbs_mistakes_are_answered(
    words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    unpack("nehalem-1s", tmp_path / "tree")
    answer = CliRunner().invoke(verbs.app, ["detect", "--root", str(tmp_path / "tree"), *words])
    assert isinstance(answer.exception, UserError)
    assert expected in str(answer.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]
