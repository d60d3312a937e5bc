"""What measurements decide: which values a fit turns, and what a sheet leaves open that they settle."""

import pytest

from numasim.calibration import compose, fit, knobs, ship, spec
from numasim.calibration.published import Cell, Host
from numasim.calibration.twins import Twins
from numasim.calibration.values import changed, resourced, value_of
from numasim.errors import UserError

SHEET = {
    "name": "two",
    "family": "cascade-lake",
    "sockets": 2,
    "cores": 4,
    "frequency_ghz": 3.0,
    "l3_bytes": "5.5MiB",
    "memory": {"generation": "DDR4", "mts": 2933, "channels": 2},
    "links": {"kind": "upi", "gts": 10.4, "count": 2},
}
QPI = {"family": "haswell-ep", "l3_bytes": "10MiB", "links": {"kind": "qpi", "gts": 9.6, "count": 2}}
WRITER, READER, LOCAL = "remote_HITM_homed_in_writer", "remote_HITM_homed_in_reader", "local_L2_to_L2_HITM"


def host(cells=(), **words):
    return Host("two", spec.from_tables({**SHEET, **words}), list(cells), None)


def shown(machine, *places):
    """The cells that a machine shows."""
    twins = Twins(machine)
    cells = [Cell(quantity, where, 0.0) for quantity, where in places]
    return [cell._replace(value=twins.value(cell)) for cell in cells]


def bandwidth(gbps):
    return [Cell("bandwidth", (node, node), gbps) for node in (0, 1)]


@pytest.mark.parametrize(("memory", "gbps", "found"), [
    ({"channels": 2}, 40.0, {"mts": 2666, "channels": 2}),  # 2 x 21.3 GB/s carry 40, 2 x 19.2 do not
    ({"mts": 2933}, 80.0, {"mts": 2933, "channels": 4}),
    ({}, 80.0, {"mts": 2933, "channels": 4}),  # neither: the speed is its relatives'
])  # fmt: skip
def test_memory_that_a_sheet_leaves_open_is_the_least_that_carries_what_was_measured(memory, gbps, found):
    sheet, said = ship.settle(host(bandwidth(gbps), memory={"generation": "DDR4", **memory}))
    assert {"mts": sheet.memory.mts, "channels": sheet.memory.channels} == found
    assert any(str(gbps).rstrip("0").rstrip(".") in words for words in said.values())


@pytest.mark.parametrize(("memory", "where"), [({"channels": 2}, "memory.mts"), ({"mts": 2933}, "memory.channels")])
def test_memory_that_cannot_carry_what_was_measured_is_told_in_a_line(memory, where):
    with pytest.raises(UserError, match=r"900 GB/s measured of a node.*") as told:
        ship.settle(host(bandwidth(900.0), memory={"generation": "DDR4", **memory}))
    assert where in str(told.value)
    assert "at most" in str(told.value)


@pytest.mark.parametrize("words", [{}, QPI], ids=["upi", "qpi"])
def test_a_dearer_line_of_another_socket_is_no_matter_of_the_link(words):
    """Planted: what a modified line of another socket waits for beyond the links; memory there costs the hop alone."""
    base = compose.compose(spec.from_tables({**SHEET, **words}))
    link = next(iter(base.links))
    made = changed(base, {"fabric.snoop_remote_ns": 18.0, f"links.{link}.latency_ns": 31.0})
    places = [("idle", (a, b)) for a in (0, 1) for b in (0, 1)]
    cells = shown(made, *places, ("c2c", (LOCAL, "", "")), ("c2c", (WRITER, 0, 1)))
    found = fit.fit(base, host(cells, **words))
    assert "fabric.remote_ns" not in found.errors
    for key, planted in (("fabric.snoop_remote_ns", 18.0), (f"links.{link}.latency_ns", 31.0)):
        assert abs(value_of(found.machine, key) - planted) < 2 * found.errors[key] < 12


def test_memory_taken_from_a_relative_is_said_to_be_assumed():
    sheet, said = ship.settle(host(bandwidth(80.0), memory={"generation": "DDR4"}))
    machine = resourced(compose.compose(sheet), said)
    assert machine.source("memory.dram.burst_ns").startswith("assumed: as clx-")
    assert machine.source("memory.dram.channels").startswith("fitted")
    with pytest.raises(UserError, match="no other host of its family has one"):
        ship.settle(host(bandwidth(80.0), family="granite-rapids", memory={"generation": "DDR5"}))


@pytest.mark.parametrize("missing", [("c2c", LOCAL), ("c2c", WRITER), ("idle", (0, 0)), ("idle", (0, 1))])
def test_what_a_line_of_another_socket_costs_is_not_judged_by_half_the_figures(missing):
    every = [Cell("idle", (0, 0), 80.0), Cell("idle", (0, 1), 130.0)]
    every += [Cell("c2c", (LOCAL, "", ""), 50.0), Cell("c2c", (WRITER, 0, 1), 120.0)]
    rest = [cell for cell in every if missing not in ((cell.quantity, cell.where), (cell.quantity, cell.where[0]))]
    machine = compose.compose(spec.from_tables(SHEET))
    for cells, turned in ((every, True), (rest, False)):
        assert ("fabric.snoop_remote_ns" in {knob.key for knob in knobs.knobs(machine, host(cells), cells)}) == turned


def test_a_cheaper_line_of_another_socket_makes_its_home_wait_before_memory_answers():
    base = compose.compose(spec.from_tables({**SHEET, **QPI}))
    made = changed(base, {"fabric.remote_ns": 20.0})
    places = [("idle", (a, b)) for a in (0, 1) for b in (0, 1)]
    cells = shown(made, *places, ("c2c", (LOCAL, "", "")), ("c2c", (WRITER, 0, 1)))
    turned = {knob.key for knob in knobs.knobs(base, host(cells, **QPI), cells)}
    assert "fabric.remote_ns" in turned
    assert "fabric.snoop_remote_ns" not in turned


def test_of_clusters_whose_homes_track_a_socket_only_another_socket_tells_of_the_directory():
    words = {"cores": 4, "nodes_per_socket": 2}
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    cells = [Cell("c2c", (READER, a, b), 100.0) for a, b in pairs] + [Cell("c2c", (WRITER, 0, 1), 50.0)]
    machine = compose.compose(spec.from_tables({**SHEET, **words}))
    assert machine.fabric.tracked == "socket"
    cells += [Cell("idle", (0, 1), 90.0)]
    for tracked, count in (("socket", 8), ("domain", 12)):
        other = changed(machine, {"fabric.tracked": tracked})
        chosen = {knob.key: knob for knob in knobs.knobs(other, host(cells, **words), cells)}
        assert len(chosen["fabric.directory_ns"].cells) == count
        assert chosen["fabric.home_ns"].cells == [cells[-1], cells[-2]]
        assert "links.ondie.latency_ns" not in chosen
