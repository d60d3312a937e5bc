"""Is a computer the same by hwloc's export as by its own files, and is every file that is no export answered?"""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from numasim import machine
from numasim.cli import machine as verbs
from numasim.errors import UserError
from numasim.machine import detect, hwloc, sources, sysfs
from numasim.machine.detect import Detected
from numasim.machine.detect_host import Host
from unit.sysfs_tree import build, files_of, unpack

DATA = Path(__file__).resolve().parents[1] / "data" / "hwloc"
EXPORTS = sorted(path.stem for path in DATA.glob("*.xml"))
BOTH = ["nehalem-1s", "silver-4108-2s", "e7-4870-4s"]  # there as export and as tree
KIB, MIB = 2**10, 2**20


def model(path: Path) -> Detected:
    return detect.model_of(hwloc.read(path), "m")


def edited(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    """An export with a part of its text changed."""
    text = (DATA / f"{name}.xml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "edited.xml").write_text(text)
    return folder / "edited.xml"


def complaint(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        model(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# (sockets, domains a socket, cores a domain, CPUs a core, nodes a socket), L1D, L2, L3 (0: not told), by data sheets:
# EPYC 7763 8 x 8 cores with 32 MiB each; Opteron 6272 two dies of 8 cores, of whose 8 MiB L3 two filter probes, and
# where two cores share 2 MiB of L2; the Xeon E5-2683 v3 with "cluster on die" and exported without caches
SHAPES = {
    "nehalem-1s": ((1, 1, 4, 2, 1), 32 * KIB, 256 * KIB, 8 * MIB),
    "silver-4108-2s": ((2, 1, 8, 2, 1), 32 * KIB, MIB, 11 * MIB),
    "e5-2683v3-2s-cod": ((2, 2, 7, 1, 2), 0, 0, 0),
    "epyc-7763-2s": ((2, 8, 8, 1, 1), 32 * KIB, 512 * KIB, 32 * MIB),
    "e7-4870-4s": ((4, 1, 10, 1, 1), 32 * KIB, 256 * KIB, 30 * MIB),
    "opteron-6272-4s": ((4, 2, 8, 1, 2), 16 * KIB, MIB, 6 * MIB),
    "phi-snc4-mcdram": ((1, 4, 4, 4, 4), 32 * KIB, 2 * MIB, 0),
    "hbm-nvm-tiers": ((1, 3, 2, 1, 3), 32 * KIB, 4 * MIB, 5460 * KIB),
}


@pytest.mark.parametrize("name", SHAPES)
def test_real_servers_are_as_their_data_sheets_say(name: str) -> None:
    found = model(DATA / f"{name}.xml")
    shape, *sizes = SHAPES[name]
    assert tuple(found.machine.expanded()["topology"].values()) == shape  # type: ignore[attr-defined]
    for level, size in zip(("l1d", "l2", "l3"), sizes, strict=True):
        told = found.machine.values()[f"{level}.size_bytes"]
        assert told == size if size else f"{level}.size_bytes" in found.keys("assumed")
    assert found.machine.unsourced() == []
    assert sources.idle(found.machine.sources, found.machine.values()) == []
    assert machine.from_toml_text(detect.text_of(found)) == found.machine


def test_the_processor_is_named() -> None:
    names = {name: hwloc.read(DATA / f"{name}.xml").processor for name in SHAPES}
    silver, epyc, four = names["silver-4108-2s"], names["epyc-7763-2s"], names["e7-4870-4s"]
    assert (silver.vendor, silver.family, silver.model, silver.stepping) == ("GenuineIntel", 6, 0x55, 4)
    assert (epyc.vendor, epyc.family, epyc.model) == ("AuthenticAMD", 0x19, 1)
    assert (four.vendor, four.name) == ("GenuineIntel", "Intel(R) Xeon(R) CPU E7- 4870 @ 2.40GHz")  # no CPUID told
    assert (
        "2 x AMD EPYC 7763 64-Core Processor (64 cores), 2 node(s)"
        in model(DATA / "epyc-7763-2s.xml").machine.description
    )


def plain(host: Host) -> tuple[object, ...]:
    """What both ways must tell alike: hwloc knows kinds of memory and localities that the system's files do not say."""
    nodes = [(node.number, sorted(node.cpus), node.size_bytes) for node in host.nodes]
    caches = {(cache.level, cache.size_bytes, cache.ways, cache.line_bytes, cache.cpus) for cache in host.caches}
    distances = {pair: distance for pair, distance in host.distances.items() if pair[0] != pair[1]}
    return host.packages, host.cores, caches, nodes, distances, host.offline


@pytest.mark.parametrize("name", BOTH)
def test_an_export_and_the_systems_files_agree(name: str, tmp_path: Path) -> None:
    """The exports of these trees were made by lstopo, which reads them by its own code."""
    told, exported = sysfs.read(unpack(name, tmp_path)), hwloc.read(DATA / f"{name}.xml")
    assert plain(told) == plain(exported)
    mine, theirs = (detect.model_of(host, "m").machine.expanded() for host in (told, exported))
    for tables in (mine, theirs):
        del tables["sources"], tables["description"]
    if told.processor.family == exported.processor.family:  # else another model may be the nearest
        del mine["core"], theirs["core"]  # the clock is not exported by hwloc of this version
        assert mine == theirs


@pytest.mark.parametrize("name", machine.names())
def test_lstopo_reads_a_models_tree_as_we_do(name: str, tmp_path: Path, program: Callable[[str], str]) -> None:
    known = machine.load(name, {"topology.cores_per_domain": 3})
    root = build(files_of(known), tmp_path / "tree")
    export(program("lstopo"), tmp_path / "m.xml", "--input-format", "fsroot", "--input", str(root))
    assert plain(sysfs.read(root)) == plain(hwloc.read(tmp_path / "m.xml"))


def test_this_host_is_the_same_by_lstopo(tmp_path: Path, program: Callable[[str], str]) -> None:
    """Memory is compared as a range, since a virtual machine's may grow and shrink while the test runs."""
    before = sysfs.read()
    export(program("lstopo"), tmp_path / "m.xml")
    after, exported = sysfs.read(), hwloc.read(tmp_path / "m.xml")
    assert plain(before)[:3] == plain(exported)[:3]
    assert [node.number for node in before.nodes] == [node.number for node in exported.nodes]
    for one, middle, other in zip(before.nodes, exported.nodes, after.nodes, strict=True):
        low, high = sorted((one.size_bytes, other.size_bytes))
        assert 0.9 * low <= middle.size_bytes <= 1.1 * high
    processor = before.processor
    assert (processor.vendor, processor.family) == (exported.processor.vendor, exported.processor.family)


def export(lstopo: str, file: Path, *words: str) -> None:
    command = [lstopo, *words, "--of", "xml", "--no-io", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert file.exists(), done.stderr[:500]


@pytest.mark.parametrize("name", EXPORTS)
def test_exports_have_what_hwlocs_dtd_declares(name: str) -> None:
    dtd = (DATA / "hwloc2.dtd").read_text()
    declared = {(tag, key) for tag, key in re.findall(r"<!ATTLIST\s+(\w+)\s+(\w+)", dtd)}
    children = {tag: set(re.findall(r"\w+", inside)) for tag, inside in re.findall(r"<!ELEMENT\s+(\w+)\s+(.*)>", dtd)}
    kinds = set(re.findall(r"\w+", re.findall(r"object type \((.*?)\)", dtd)[0]))
    root = ElementTree.parse(DATA / f"{name}.xml").getroot()
    for one in root.iter():
        assert {(one.tag, key) for key in one.attrib} <= declared
        assert {child.tag for child in one} <= children[one.tag]
        assert one.tag != "object" or one.get("type") in kinds


def test_memory_beside_that_of_the_cpus_has_its_kind() -> None:
    """Each cluster of the Xeon Phi has a node of MCDRAM on the package; in the machine of tiers NVM hangs at a link."""
    phi = model(DATA / "phi-snc4-mcdram.xml").machine
    assert [phi.topology.node_cpus(node) == [] for node in range(8)] == [False] * 4 + [True] * 4
    assert {name: (table.nodes, table.vertex) for name, table in phi.memory.items()} == {
        "dram": ((0, 1, 2, 3), ""),
        "mcdram0": ((4,), "domain1"),
        "mcdram1": ((5,), "domain2"),
        "mcdram2": ((6,), "domain3"),
        "mcdram3": ((7,), "domain0"),
    }
    tiers = model(DATA / "hbm-nvm-tiers.xml")
    assert {name for name in tiers.machine.memory if name.startswith("nvm")} == {"nvm0", "nvm1", "nvm2"}
    assert set(tiers.machine.links["far"].pairs) == {("socket0", f"nvm{number}") for number in range(3)}
    assert tiers.notes[0] == "nodes 0-6 are the host's 0, 1, 2, 4, 6, 8, 9, in this order"


CXL = '<object type="NUMANode" os_index="2" cpuset="0xff00ff00" subtype="CXL-DRAM" local_memory="68719476736"/>\n'


def test_a_cxl_memory_hangs_at_its_package(tmp_path: Path) -> None:
    """The Xeons of silver-4108-2s with a node added, local to the second package, as hwloc documents it."""
    second = '<object type="NUMANode" os_index="1"'
    found = model(edited(tmp_path, "silver-4108-2s", (second, CXL + second))).machine
    assert found.topology.nodes == 3
    assert found.topology.node_cpus(2) == []
    assert found.memory["cxl-dram0"].size_bytes == 64 * 2**30
    assert found.links["far"].pairs == (("socket1", "cxl-dram0"),)
    assert found.source("memory.cxl-dram0.vertex") == "specified: hwloc export edited.xml, local to it: socket1"
    assert found.source("links.far.latency_ns").startswith("assumed: as ")


def test_nodes_local_to_the_same_cpus_are_said(tmp_path: Path) -> None:
    plain_node = CXL.replace(' subtype="CXL-DRAM"', "")
    second = '<object type="NUMANode" os_index="1"'
    found = model(edited(tmp_path, "silver-4108-2s", (second, plain_node + second)))
    assert found.notes[0] == "node 2 has no CPUs of its own: other nodes are local to the same"


def test_hybrid_processors_are_refused() -> None:
    assert "its cores are not alike: L1D of 32 KiB and 48 KiB" in complaint(DATA / "lakefield-hybrid.xml")


LAUGHS = """<?xml version="1.0"?><!DOCTYPE topology [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<topology version="2.0"><object type="Machine"><info name="x" value="&b;"/></object></topology>"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is no XML: no element found"),
        ("not XML", "is no XML: syntax error"),
        ("<topology version='2.0'><object", "is no XML: unclosed token"),
        ("\0\1\2", "is no XML"),
        ('<?xml version="1.0" encoding="no-such"?><a/>', "is no XML: unknown encoding"),
        ("<html><body/></html>", "is no topology but a <html>"),
        ("<topology/>", "is of hwloc 1 (expected hwloc 2's XML, as `lstopo topology.xml` writes it)"),
        ("<topology version='9.1'/>", "is of hwloc 9.1"),
        ("<topology version='2.0'/>", "has no CPUs"),
        ("<topology version='2.0'><object type='PU'/><object type='PU'/></topology>", "has two PUs of one os_index"),
        ("<topology version='2.0'><object type='PU' os_index='1e3'/></topology>", 'os_index="1e3" is no number'),
        ("<topology version='2.0'><object type='PU' os_index='-1'/></topology>", "has no CPUs"),
        ("<topology version='2.0'><object type='PU' os_index='99999999'/></topology>", "is no number"),
        (LAUGHS, "declares XML entities"),
        (LAUGHS.encode("utf-16"), "declares XML entities"),
        ("<a>" * 1000, "has too many objects"),
        ("<topology version='2.0'>" + "<object>" * 300 + "</object>" * 300 + "</topology>", "has too many objects"),
    ],
    ids=range(17),
)  # fmt: skip
def test_what_is_no_export_is_answered(text: str | bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "m.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert expected in complaint(path)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('local_memory="49075843072"', 'local_memory="much"', 'local_memory="much" is no number'),
        ('cache_linesize="64"', 'cache_linesize="128"', "caches with lines of 128 bytes"),
        ("10 21 21 10", "10 21 21", "has distances that are no square of numbers"),
        ("10 21 21 10", "10 21 x 10", "has distances that are no square of numbers"),
        ('type="NUMANode" os_index="1"', 'type="NUMANode" os_index="0"', "has two NUMANodes of one os_index"),
        ('type="NUMANode" os_index="1"', 'type="Group" os_index="1"', "CPU(s) 8-15,24-31 are local to no NUMANode"),
        ('cache_size="11534336"', 'cache_size="64"', ""),
    ],
)
def test_broken_values_are_answered(old: str, new: str, expected: str, tmp_path: Path) -> None:
    path = edited(tmp_path, "silver-4108-2s", (old, new))
    if expected:
        assert expected in complaint(path)
    else:  # one of two L3s is odd: a size is as told by one of them
        assert model(path).machine.l3.size_bytes in (64, 11 * MIB)


def test_folders_and_missing_files_are_answered(tmp_path: Path) -> None:
    assert "Is a directory (expected hwloc 2's XML" in complaint(tmp_path)
    assert "No such file or directory" in complaint(tmp_path / "none.xml")
    with (tmp_path / "large.xml").open("wb") as file:
        file.truncate(2**28 + 1)
    assert "is larger than 256 MiB" in complaint(tmp_path / "large.xml")


def test_distances_by_global_index_are_read(tmp_path: Path) -> None:
    export = DATA / "silver-4108-2s.xml"
    indexes = " ".join(re.findall(r'type="NUMANode"[^>]*gp_index="(\d+)"', export.read_text()))
    path = edited(tmp_path, "silver-4108-2s", ('indexing="os"', 'indexing="gp"'), (">0 1<", f">{indexes}<"))
    told = {(0, 0): 10, (0, 1): 21, (1, 0): 21, (1, 1): 10}
    assert hwloc.read(path).distances == hwloc.read(export).distances == told


def test_the_verb_imports(tmp_path: Path) -> None:
    file = tmp_path / "four.toml"
    answer = CliRunner().invoke(verbs.app, ["import", str(DATA / "e7-4870-4s.xml"), "-o", str(file)])
    assert answer.exit_code == 0, answer.output
    assert machine.load(file).shape.sockets == 4
    bad = CliRunner().invoke(verbs.app, ["import", str(DATA / "README.md"), "-o", str(file)])
    assert isinstance(bad.exception, UserError)
    assert machine.load(file).shape.sockets == 4, "a file that was there stays"
