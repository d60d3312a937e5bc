"""Sheets, families and what is put together from them."""

import hashlib

import pytest

from numasim.calibration import compose, ddr, families, neighbours, published, spec
from numasim.calibration.twins import caches_of_a_core
from numasim.errors import UserError
from numasim.machine import from_toml_text

SHEET = {
    "name": "one",
    "family": "cascade-lake",
    "sockets": 2,
    "cores": 18,
    "frequency_ghz": 3.0,
    "l3_bytes": "24.75MiB",
    "memory": {"generation": "DDR4", "mts": 2933, "channels": 6},
    "links": {"kind": "upi", "gts": 10.4, "count": 2},
}


def changed(**words):
    return {**SHEET, **words}


def test_a_sheet_makes_a_machine_that_loads_from_its_own_text():
    machine = compose.compose(spec.from_tables(SHEET))
    assert from_toml_text(machine.to_toml()) == machine
    assert machine.unsourced() == []
    assert machine.links["upi"].bandwidth_gbps == pytest.approx(20.8)  # 10.4 GT/s x 20 lanes x 64/80 / 8
    assert machine.l3.slices == 18


def test_what_is_not_stated_is_named_and_not_guessed():
    sheet = spec.from_tables(changed(memory={"generation": "DDR4", "mts": 2933}, links={"kind": "upi", "gts": 10.4}))
    assert compose.unstated(sheet) == ["memory.channels", "links.count"]
    with pytest.raises(UserError, match=r"memory\.channels is not stated"):
        compose.compose(sheet)
    whole = compose.stated(sheet, {"memory.channels": 6, "links.count": 2})
    assert compose.compose(whole) == compose.compose(spec.from_tables(SHEET))


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"cores": "many"}, "cores"),
        ({"family": "pentium"}, "family"),
        ({"l3_bytes": "25MiB"}, "l3_bytes"),
        ({"memory": {"generation": "DDR4", "mts": 9999, "channels": 6}}, "memory.mts"),
        ({"memory": {"generation": "DDR6", "mts": 2933, "channels": 6}}, "memory.generation"),
        ({"nodes_per_socket": 4, "domains_per_socket": 6}, "nodes_per_socket"),
        ({"colour": "red"}, "colour"),
        ({"cxl": [{"socket": 5, "size_bytes": "64GiB"}]}, "cxl.socket"),
        ({"cxl": 7}, "cxl"),
        ({"cores": 17, "nodes_per_socket": 2}, "as many in each: 16 or 18"),
        ({"l3_bytes": "24MiB"}, "23.375 MiB or 24.75 MiB"),
        ({"family": "emerald-rapid"}, "emerald-rapids? If not, one of broadwell-ep"),
        ({"family": "there-is-none.toml"}, "there-is-none.toml"),
        ({"links": {"kind": "wire"}}, "links.kind"),
    ],
)
def test_a_mistake_is_told_in_one_line(wrong, where):
    with pytest.raises(UserError) as told:
        compose.compose(spec.from_tables(changed(**wrong), "sheet.toml"))
    assert where in str(told.value)
    assert "\n" not in str(told.value)


def test_two_sockets_need_links():
    with pytest.raises(UserError, match="links"):
        spec.from_tables({key: value for key, value in SHEET.items() if key != "links"})


@pytest.mark.parametrize("family", families.names())
def test_every_family_makes_a_machine_and_sources_all_of_it(family):
    slice_bytes = families.tables(family)["l3"]["slice_bytes"]
    tables = changed(family=family, l3_bytes=8 * slice_bytes, cores=16)
    machine = compose.compose(spec.from_tables(tables))
    assert machine.unsourced() == []


def test_every_family_is_in_a_line_of_its_kind():
    lines = [family for line in families.LINES for family in line]
    assert sorted(lines) == families.names()
    for name in families.names():
        assert families.tables(name)["name"] == name


def own_family(tmp_path, change=lambda text: text):
    """A sheet beside a family file of one's own, which is Cascade Lake by another name."""
    text = (families.shipped("calibration/families") / "cascade-lake.toml").read_text()
    (tmp_path / "mine.toml").write_text(change(text))
    path = tmp_path / "sheet.toml"
    path.write_text(
        'name = "one"\nfamily = "mine.toml"\nsockets = 1\ncores = 18\nfrequency_ghz = 3.0\nl3_bytes = "24.75MiB"\n'
        '[memory]\ngeneration = "DDR4"\nmts = 2933\nchannels = 6\n'
    )
    return path


def test_a_family_of_ones_own_is_a_file_beside_the_sheet(tmp_path):
    """Found beside the sheet, wherever one is; alone, it has its own values, wide as of a machine nobody knows;
    next to a shipped family, it learns from that one's hosts as from a generation away."""
    alone = neighbours.from_spec(spec.load(own_family(tmp_path)))
    assert alone.machine.fabric.controller_ns == families.tables("cascade-lake")["fabric"]["controller_ns"]
    assert alone.origins["fabric.controller_ns"].relatives == ()
    beside = neighbours.from_spec(spec.load(own_family(tmp_path, lambda text: 'next_to = "cascade-lake"\n' + text)))
    told = beside.origins["fabric.controller_ns"]
    assert told.extrapolated
    assert {published.load(name).sheet.family for name in told.relatives} == {"cascade-lake"}


@pytest.mark.parametrize("table", families.NEEDED)
def test_a_family_file_without_a_table_is_told_so(tmp_path, table):
    with pytest.raises(UserError, match=rf"mine\.toml: no table \[{table}") as told:
        neighbours.from_spec(spec.load(own_family(tmp_path, lambda text: text.replace(f"[{table}", "[other"))))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("bad", ["0", "-3", "2.5", '"many"', "true", "48\nrow_hit_cap = 4"])
def test_a_family_files_queue_is_a_number_of_reads(tmp_path, bad):
    with pytest.raises(
        UserError, match=r"mine\.toml: controller\.queue_entries: .*expected queue_entries alone, a whole number"
    ) as told:
        neighbours.from_spec(
            spec.load(own_family(tmp_path, lambda text: text + f"\n[controller]\nqueue_entries = {bad}\n"))
        )
    assert "\n" not in str(told.value)


def test_a_channel_has_its_familys_queue_of_reads_and_each_half_of_one_half_of_it(tmp_path):
    """22 entries, as Intel's guide to the E5-2600's uncore says, where a family has nothing else."""
    skylake, genoa = (neighbours.from_spec(published.load(name).sheet).machine
                      for name in ("skx-6140-2s", "genoa-9224-2s-cxl"))  # fmt: skip
    assert skylake.memory["dram"].queue_entries == 22
    assert "327043" in skylake.source("memory.dram.queue_entries")
    half = families.tables("zen4")["controller"]["queue_entries"] // 2
    assert [genoa.memory[name].queue_entries for name in ("dram", "cxl")] == [half, half]
    own = own_family(tmp_path, lambda text: text + "\n[controller]\nqueue_entries = 48\n")
    made = neighbours.from_spec(spec.load(own)).machine
    assert (
        made.memory["dram"].queue_entries == 48 and made.source("memory.dram.queue_entries") == "assumed: the family's"
    )
    graviton = neighbours.from_spec(published.load("graviton3").sheet).machine
    assert graviton.memory["dram"].queue_entries == families.tables("neoverse-v1")["controller"]["queue_entries"] // 2
    assert "graviton3" in graviton.source("memory.dram.queue_entries")


@pytest.mark.parametrize("generation", sorted(ddr.BINS))
def test_a_burst_takes_what_the_pins_need_for_a_line(generation):
    """64 bytes over the channel's pins, at the speed: an identity that ties burst_ns to the peak."""
    for bin_ in ddr.BINS[generation]:
        burst = ddr.timings(generation, bin_.mts)["burst_ns"]
        channels = ddr.CHANNELS[generation]
        assert channels * 64 / burst == pytest.approx(ddr.peak_gbps(generation, bin_.mts, 1), rel=1e-3)


def test_ddr4_3200_is_the_table_of_the_model_written_by_hand():
    from numasim.machine import load

    memory, made = load("icx-8360y-2s").memory["dram"], ddr.timings("DDR4", 3200)
    assert {key: getattr(memory, key) for key in made} == pytest.approx(made)


def test_clusters_are_hubs_of_nodes():
    """Four nodes of two domains each: a domain, its cluster, the socket; memory is at the cluster."""
    tables = changed(
        family="zen4", sockets=1, cores=32, l3_bytes="256MiB", nodes_per_socket=4, domains_per_socket=8,
        memory={"generation": "DDR5", "mts": 4800, "channels": 12},
    )  # fmt: skip
    topology = compose.compose(spec.from_tables(tables)).topology

    def way(node):
        path = topology.route(topology.vertex("domain0"), topology.node_vertex[node])
        return [topology.vertices[topology.edges[edge].target] for edge in path]

    assert [way(node) for node in (0, 1, 2)] == [
        ["cluster0"],
        ["cluster0", "cluster1"],  # side by side
        ["cluster0", "socket0", "cluster2"],
    ]
    assert topology.vertices[topology.node_vertex[0]] == "cluster0"


def test_what_a_core_reads_at_the_peak_is_whole_lines():
    """A Threadripper PRO 7965WX has six cores to an L3 of 32 MiB: a sixth of it is no whole number of lines."""
    tables = changed(
        family="zen4", sockets=1, cores=24, l3_bytes="128MiB", domains_per_socket=4,
        memory={"generation": "DDR5", "mts": 5600, "channels": 8},
    )  # fmt: skip
    machine = compose.compose(spec.from_tables(tables))
    found = caches_of_a_core(machine)
    assert found % 64 == 0
    assert 0 <= found - (machine.l2.size_bytes + machine.l3.size_bytes / 6) < 4096


def test_every_shipped_host_has_a_sheet_and_a_source():
    for name in published.names():
        host = published.load(name)
        assert host.name == name
        assert host.cells or host.curve


def test_a_machine_learns_nothing_from_itself_or_its_twins():
    for name in published.names():
        sheet = published.load(name).sheet
        told = {who for _, who, *_ in neighbours.relatives(sheet)}
        assert not told & {name, *sheet.twin_of}


def test_a_model_from_a_sheet_does_not_hang_on_the_host_s_own_measurements(monkeypatch):
    """With the host's model gone altogether, the same model comes out."""
    sheet = published.load("clx-6240-2s").sheet
    before = neighbours.from_spec(sheet).machine.to_toml()
    left = [name for name in neighbours.names() if name != "clx-6240-2s"]
    monkeypatch.setattr(neighbours, "names", lambda: left)
    after = neighbours.from_spec(sheet).machine.to_toml()
    assert hashlib.sha256(before.encode()).digest() == hashlib.sha256(after.encode()).digest()


def test_open_questions_widen_the_interval():
    made = neighbours.from_spec(published.load("spr-4416-2s").sheet)
    assert "memory.channels" in made.open
    assert "memory.dram.channels" in made.machine.uncertainty.keys


def test_what_only_other_kinds_of_machines_need_is_not_taken_over():
    """A home that waits for snoops was fitted on machines with QPI; Cascade Lake has relatives without it."""
    made = neighbours.from_spec(published.load("clx-6240-2s").sheet)
    assert made.machine.fabric.remote_ns == 0
    assert "fabric.remote_ns" not in made.origins
    assert not any(origin.extrapolated for origin in made.origins.values())
    alone = neighbours.from_spec(published.load("icx-8360y-2s").sheet)  # of its family nobody else was measured
    assert alone.machine.fabric.remote_ns == 0
    assert alone.origins["fabric.controller_ns"].extrapolated
