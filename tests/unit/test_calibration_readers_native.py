"""Do this project's own measurements become the right cells, and do files of several instruments become one host?"""

import json
from pathlib import Path

import pytest

from numasim.calibration import calibrated, published, validate
from numasim.calibration.host_file import HostFile, read
from numasim.calibration.readers import core_matrix, formats, mess, mlc, native
from numasim.calibration.readers.measured import Measured, check, together
from numasim.calibration.twins import Twins
from numasim.errors import UserError
from numasim.machine import load

DATA = Path(__file__).resolve().parents[1] / "data/calibration"
MIB = 1 << 20
# two sockets of two cores of two threads; a socket is a node and has one L3 of 32 MiB
CPUS = [{"cpu": c, "node": c % 4 // 2, "package": c % 4 // 2, "core": c % 2} for c in range(8)]
HOST = {
    "cpu": {"name": "Some Processor", "id": "x"},
    "virtual": {"is": True, "by": "kvm"},
    "cpus": CPUS,
    "caches": [
        {"level": 1, "size_bytes": 32768, "cpus": "0,4"},
        {"level": 3, "size_bytes": 32 * MIB, "cpus": "0-1,4-5"},
    ],
    "monotonic_s": 10.0,
    "load_1m": 0.1,
}
MADE = {"numasim": "0", "native": "0", "compiler": "cc", "flags": ""}
BEGIN = {
    "format": "numasim-host",
    "version": 1,
    "made_by": MADE,
    "protocol": {"name": "quick", "sha256": "0", "rounds": 1, "only": []},
    "label": "",
    "begun": "2026-01-31T12:00:00Z",
    "host": HOST,
}


def run(experiment, preempted=(0, 0, 0), cpu=0, node=0, **rest):
    """What the native program prints: keys, and samples (those that are lists of numbers)."""
    samples = {key: value for key, value in rest.items() if isinstance(value, list)}
    keys = {key.strip("_"): value for key, value in rest.items() if key not in samples}
    return {
        "round": 0,
        "experiment": experiment,
        "keys": {"cpu": cpu, "node": node, "pages": "2m", "within": "all", **keys},
        "samples": {**samples, "preempted": list(preempted), "ran_share": [0.5 if n else 1.0 for n in preempted]},
        "seconds": 0.1,
    }


def chase(latency_ns, size=256 * MIB, **keys):
    return run("chase", latency_ns=latency_ns, size=size, **keys)


def file_of(tmp_path, *runs, host=HOST):
    path = tmp_path / "host.jsonl"
    lines = [{"begin": {**BEGIN, "host": host}}, *runs, {"end": {**host, "monotonic_s": 12.0}}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def found_in(tmp_path, *runs, host=HOST):
    return native.read(file_of(tmp_path, *runs, host=host))


def values(measured):
    return {(cell.quantity, *cell.where): cell.value for cell in measured.cells}


def test_idle_latency_is_the_longest_chase_of_each_pair(tmp_path):
    found = found_in(
        tmp_path,
        chase([30.0, 31.0, 32.0], size=16 * MIB),
        chase([90.0, 91.0, 92.0], size=128 * MIB),
        chase([95.0, 96.0, 97.0]),
        chase([150.0, 151.0, 152.0], node=1),
        chase([152.0, 153.0, 154.0], cpu=2, node=0),
        chase([400.0, 400.0, 400.0], pages="4k"),
    )
    assert values(found) == {("idle", 0, 0): 96.0, ("idle", 0, 1): 151.0, ("idle", 1, 0): 153.0}


def test_disturbed_repetitions_do_not_count(tmp_path):
    found = found_in(tmp_path, chase([95.0, 400.0, 97.0, 900.0], preempted=[0, 3, 0, 1]))
    assert values(found) == {("idle", 0, 0): 96.0}
    assert "disturbed" not in found.environment


def test_where_every_repetition_was_disturbed_the_better_decile_counts_and_is_told(tmp_path):
    found = found_in(
        tmp_path,
        chase([100.0 + n for n in range(11)], preempted=[1] * 11),
        run(
            "bandwidth", preempted=[1] * 11, read_gbps=[10.0 + n for n in range(11)], cpus="0-1", ratio="1:0", size=MIB
        ),
        run("loaded", preempted=[1], latency_ns=[500.0], read_gbps=[1.0], cpus="1", ratio="1:0", delay=0, from_=-1),
    )
    assert values(found) == {("idle", 0, 0): 101.0, ("bandwidth", 0, 0): 19.0}
    assert found.curve is None
    assert "heaviest load" in found.environment["left out"]
    assert found.environment["disturbed"].startswith("3 of 3")


def test_chases_within_pages_stand_in_unless_prefetchers_made_them_fast(tmp_path):
    pages = [chase([ns] * 3, within="page", pages="4k", node=node) for node, ns in ((0, 94.0), (1, 150.0))]
    slow = found_in(tmp_path, chase([96.0] * 3), *pages)
    assert values(slow) == {("idle", 0, 0): 94.0, ("idle", 0, 1): 150.0}
    c2c = run("c2c", latency_ns=[6.0] * 3, other=1, state="hit")
    fast = found_in(tmp_path, chase([167.0] * 3), *pages, c2c)
    assert values(fast) == {("idle", 0, 0): 167.0}
    assert "prefetchers" in fast.environment["left out"]


def test_without_a_chase_through_memory_working_sets_stay_chases(tmp_path):
    found = found_in(
        tmp_path, chase([4.0] * 3, size=1 * MIB), chase([20.0] * 3, size=16 * MIB), chase([1.0] * 3, size=4096)
    )
    assert values(found) == {("chase", 1): 4.0, ("chase", 16): 20.0}


def test_bandwidth_counts_where_all_cores_of_a_node_read(tmp_path):
    mix = {"ratio": "1:0", "size": 128 * MIB, "write_gbps": [0.0] * 3}
    found = found_in(
        tmp_path,
        run("bandwidth", read_gbps=[12.0] * 3, cpus="0", **mix),
        run("bandwidth", read_gbps=[24.0] * 3, cpus="0-1", **mix),
        run("bandwidth", read_gbps=[11.0] * 3, cpus="0-1", node=1, **mix),
        run("bandwidth", read_gbps=[20.0] * 3, cpus="0-1", **{**mix, "ratio": "2:1", "write_gbps": [10.0] * 3}),
    )
    assert values(found) == {("bandwidth", 0, 0): 24.0, ("bandwidth", 0, 1): 11.0}


def test_with_one_node_mixes_are_the_peak(tmp_path):
    host = {**HOST, "cpus": [{**cpu, "node": 0, "package": 0, "core": cpu["cpu"]} for cpu in CPUS[:2]]}
    host["caches"] = [{"level": 3, "size_bytes": 32 * MIB, "cpus": "0-1"}]
    mix = {"cpus": "0-1", "size": 128 * MIB}
    found = found_in(
        tmp_path,
        run("bandwidth", read_gbps=[24.0] * 3, write_gbps=[0.0] * 3, ratio="1:0", **mix),
        run("bandwidth", read_gbps=[20.0] * 3, write_gbps=[10.0] * 3, ratio="2:1", **mix),
        host=host,
    )
    assert values(found) == {("bandwidth", 0, 0): 24.0, ("peak", 2, 1): 30.0}


def test_core_to_core_is_named_as_mlc_names_it(tmp_path):
    found = found_in(
        tmp_path,
        run("c2c", latency_ns=[50.0] * 3, other=1, state="hit"),
        run("c2c", latency_ns=[52.0] * 3, other=1, state="hitm"),
        run("c2c", latency_ns=[9.0] * 3, other=4, state="hitm"),  # threads of one core
        run("c2c", latency_ns=[110.0] * 3, other=2, state="hitm", node=1),
        run("c2c", latency_ns=[170.0] * 3, other=2, state="hitm", node=0),
        run("c2c", latency_ns=[90.0] * 3, other=2, state="hit", node=0),
        run("pingpong", handover_ns=[25.0] * 3, other=1),
        run("pingpong", handover_ns=[7.0] * 3, other=4),
        run("pingpong", handover_ns=[60.0] * 3, other=2),
        run("pingpong", handover_ns=[62.0] * 3, cpu=1, other=3),
        run("pingpong", handover_ns=[27.0] * 3, cpu=2, node=1, other=3),
    )
    assert values(found) == {
        ("c2c", "local_L2_to_L2_HIT", "", ""): 50.0,
        ("c2c", "local_L2_to_L2_HITM", "", ""): 52.0,
        ("c2c", "remote_HITM_homed_in_writer", 1, 0): 110.0,
        ("c2c", "remote_HITM_homed_in_reader", 1, 0): 170.0,
        ("pairs", "same_socket"): 26.0,
        ("pairs", "smt_sibling"): 7.0,
        ("pairs", "cross_socket"): 61.0,
    }


def test_cores_of_one_l3_of_several_are_a_class_of_their_own(tmp_path):
    """A socket of four cores and two L3, of which the file describes the first CPU's."""
    host = {**HOST, "cpus": [{"cpu": cpu, "node": 0, "package": 0, "core": cpu} for cpu in range(4)]}
    host["caches"] = [{"level": 3, "size_bytes": 32 * MIB, "cpus": "0-1"}]
    pairs = [(0, 1, 24.0), (0, 2, 90.0), (1, 3, 94.0), (2, 3, 25.0)]
    runs = [run("pingpong", handover_ns=[ns] * 3, cpu=one, other=other) for one, other, ns in pairs]
    runs += [run("c2c", latency_ns=[ns] * 3, other=other, state="hit") for other, ns in ((1, 20.0), (2, 80.0))]
    assert values(found_in(tmp_path, *runs, host=host)) == {
        ("pairs", "same_ccx_or_cluster"): 24.0,
        ("pairs", "same_socket"): 92.0,
        ("c2c", "local_L2_to_L2_HIT", "", ""): 20.0,
    }


def test_the_curve_is_of_local_reads_by_all_other_cores(tmp_path):
    keys = {"cpus": "1", "ratio": "1:0", "from_": -1, "size": 256 * MIB}
    found = found_in(
        tmp_path,
        run("loaded", latency_ns=[210.0] * 3, read_gbps=[20.0] * 3, delay=0, **keys),
        run("loaded", latency_ns=[99.0] * 3, read_gbps=[1.0] * 3, delay=1000, **keys),
        run("loaded", latency_ns=[140.0] * 3, read_gbps=[9.0] * 3, delay=100, **keys),
        run("loaded", latency_ns=[300.0] * 3, read_gbps=[8.0] * 3, delay=0, node=1, **keys),
        run("loaded", latency_ns=[310.0] * 3, read_gbps=[8.0] * 3, delay=0, **{**keys, "ratio": "1:1"}),
    )
    assert found.curve.gbps.tolist() == [1.0, 9.0, 20.0]
    assert found.curve.ns.tolist() == [99.0, 140.0, 210.0]
    assert found.curve.sockets == 1


def test_everything_stays_in_the_file(tmp_path):
    path = file_of(tmp_path, chase([95.0, 96.0, 97.0]), run("clock", core_ghz=[3.1] * 3))
    found = formats.read(path)
    assert isinstance(found.file, HostFile)
    assert found.file == read(path)
    assert [one.experiment for one in found.file.measurements] == ["chase", "clock"]
    assert found.environment["virtual"] == "kvm"
    assert found.environment["cpu"] == "Some Processor"


def test_runs_that_lack_keys_are_told(tmp_path):
    broken = chase([95.0] * 3)
    del broken["keys"]["pages"]
    with pytest.raises(UserError, match="'pages'"):
        found_in(tmp_path, broken)
    with pytest.raises(UserError, match="77"):
        found_in(tmp_path, chase([95.0] * 3, cpu=77))
    with pytest.raises(UserError, match=r"host\.jsonl"):
        found_in(tmp_path, run("bandwidth", read_gbps=[1.0] * 3, cpus="0-99", ratio="1:0", size=MIB))


# ---- several files, one host ----


@pytest.fixture(scope="module")
def icx():
    return load("icx-8360y-2s")


def joined(machine, **files):
    return together("host", published.load("icx-8360y-2s").sheet, machine, files)


def test_files_of_two_instruments_make_the_published_host(icx):
    """MLC's log and a matrix of core pairs together are what calibration/hosts has of this machine."""
    log, matrix = mlc.read(DATA / "mlc_icx-8360y-2s.txt"), core_matrix.read(DATA / "cores_icx-8360y-2s.csv")
    found, expected = joined(icx, log=log, matrix=matrix).host, published.load("icx-8360y-2s")
    assert {(c.quantity, c.where): c.value for c in found.cells} == pytest.approx(
        {(c.quantity, c.where): c.value for c in expected.cells}
    )
    assert found.curve.sockets == expected.curve.sockets == 2
    assert found.curve.gbps.tolist() == pytest.approx(expected.curve.gbps.tolist())


def test_the_first_file_counts_and_the_second_is_told(icx):
    one = Measured([published.Cell("idle", (0, 0), 90.0)], None, {})
    other = Measured([published.Cell("idle", (0, 0), 95.0), published.Cell("idle", (0, 1), 140.0)], None, {})
    found = joined(icx, one=one, other=other)
    assert [cell.value for cell in found.host.cells] == [90.0, 140.0]
    assert any("1 values measured in an earlier file" in note for note in found.notes)


def test_how_the_host_was_is_told(icx, tmp_path):
    runs = [chase([100.0] * 3, preempted=[1, 1, 1]), chase([90.0] * 3, size=128 * MIB)]
    notes = " ".join(joined(icx, host=found_in(tmp_path, *runs)).notes)
    assert "host: disturbed: 1 of 2 runs" in notes
    assert "a virtual machine (kvm)" in notes


def test_what_no_fit_reads_is_compared_and_said_to_be(icx):
    """The sums of a comparison without a band: a stream of one thread reads what a core's matrix row does; two threads
    of a core hand a line over within their L1, in a tenth of what two cores take."""
    kept = [published.Cell("stream", (1,), 15.0), published.Cell("pairs", ("smt_sibling",), 7.0)]
    found = joined(icx, sweep=Measured([*kept, published.Cell("pairs", ("all_pairs",), 50.0)], None, {}))
    assert found.host.cells == [] and found.host.also == tuple(kept)
    assert "compared, never fitted to" in found.notes[0] and "threads of one core" in found.notes[0]
    assert "read, and not used" in found.notes[1]
    stream, siblings = validate.rows(icx, found.host)
    assert (stream.name, stream.expected, stream.unit) == ("stream 1", 15.0, "GB/s")
    assert stream.simulated == pytest.approx(icx.core.frequency_ghz * 64 * core_lines_a_cycle(icx), rel=0.05)
    assert icx.l1d.latency_cycles / icx.core.frequency_ghz < siblings.simulated < Twins(icx).pairs("same_socket") / 5
    assert not stream.fitted and stream.band == siblings.band == float("inf")


def core_lines_a_cycle(machine):
    """Little's law for one core: its misses under way over what one of them takes."""
    under_way = machine.core.fill_buffers + machine.core.prefetch_buffers
    return under_way / (Twins(machine).idle(0, 0) * machine.core.frequency_ghz)


def test_more_threads_than_cpus_are_another_machines(icx):
    with pytest.raises(UserError, match=r"sweep: 145 threads \(expected 144 at most"):
        joined(icx, sweep=Measured([published.Cell("stream", (145,), 15.0)], None, {}))


def test_a_curve_alone_has_an_idle_latency_if_it_reaches_down_to_it(icx):
    found = joined(icx, mess=mess.read(DATA / "mess_graviton3"))
    assert found.host.cells == [published.Cell("idle", (0, 0), found.host.curve.ns[0])]
    assert found.host.curve.sockets == 1


def test_measurements_of_another_machine_are_told(icx):
    with pytest.raises(UserError, match="idle 0 2"):
        joined(icx, log=mlc.read(DATA / "mlc_bdw-2680v4-2s-cod.txt"))
    check(published.Cell("c2c", ("local_L2_to_L2_HIT", "", ""), 50.0), icx, "log")
    check(published.Cell("pairs", ("same_socket",), 50.0), icx, "log")
    with pytest.raises(UserError, match="remote_HITM_homed_in_writer 0 2"):
        check(published.Cell("c2c", ("remote_HITM_homed_in_writer", 0, 2), 50.0), icx, "log")


def test_one_file_of_ours_is_fitted_to_as_it_is_and_with_others_as_cells(tmp_path):
    """Alone it has more than cells hold: repetitions, working sets, TLBs. Beside a log both must say it in one form."""
    ours, log = str(file_of(tmp_path, chase([95.0, 96.0, 97.0]))), str(DATA / "mlc_icx-8360y-2s.txt")
    alone = calibrated.start([ours], "mine", "icx-8360y-2s")
    assert alone.file == read(ours)
    assert alone.machine.name == "mine"
    assert alone.host.cells == []
    both = calibrated.start([ours, log], "mine", "icx-8360y-2s")
    assert both.file is None
    assert both.host.of("idle")[0].value == 96.0
    assert len(both.host.of("idle")) == 4
