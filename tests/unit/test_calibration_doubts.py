"""Is a fit that is not to be relied on told so, and are data that cannot be refused with file and line?"""

import json
from pathlib import Path

import lmfit
import numpy as np
import pytest

from numasim.calibration import calibrated, doubts, fit, host_base, host_ship, published
from numasim.calibration.fit import Fitted
from numasim.calibration.knobs import Knob
from numasim.calibration.published import Cell
from numasim.calibration.validate import Row
from numasim.calibration.values import changed
from numasim.errors import UserError
from numasim.machine import load

DATA = Path(__file__).resolve().parents[1] / "data/calibration"
IVB = "ivb-2680v2-2s"
NAN = float("nan")
IDLE, BANDWIDTH = Cell("idle", (0, 0), 5.0), Cell("bandwidth", (0, 0), 55.0)


def log_of(tmp_path, idle, bandwidth=None):
    """An MLC log of these matrices (bandwidth in MB/s)."""
    text = ["Measuring idle latencies (in ns)...", *matrix(idle)]
    if bandwidth:
        text += ["Measuring Memory Bandwidths between nodes within system", *matrix(bandwidth)]
    path = tmp_path / "mlc.log"
    path.write_text("\n".join(text) + "\n")
    return str(path)


def matrix(rows):
    head = "\t".join(str(node) for node in range(len(rows)))
    return ["\t\tNuma node", f"Numa node\t{head}", *(f"{n}\t" + "\t".join(map(str, row)) for n, row in enumerate(rows))]


def row(cell, simulated, band=3.0):
    return Row(str(cell), "ns", cell.value, simulated, band, True, NAN, NAN)


def found(at_bound=(), unsettled=(), errors=None):
    """A fit of two values of the Ivy Bridge machine: the fabric's latency, and the misses under way."""
    turned = [
        Knob("fabric.controller_ns", 0.0, 200.0, [IDLE], "latency"),
        Knob("core.prefetch_buffers", 0, 27, [BANDWIDTH], "bandwidth"),
    ]
    known = {knob.key: 1.0 for knob in turned} if errors is None else errors
    machine = changed(load(IVB), {"fabric.controller_ns": 0.0})
    return Fitted(machine, turned, known, np.eye(2), list(at_bound), [], 2, 2, 9, list(unsettled))


def test_a_value_at_its_bound_is_told_where_the_data_push_it_there():
    bound = found(at_bound=["fabric.controller_ns"])
    (line,) = doubts.doubts(bound, [row(IDLE, 5.4), row(BANDWIDTH, 55.0)])
    assert line == "fabric.controller_ns is at its bound, 0: idle 0 0, 5.0 ns measured, 5.4 ns simulated (+8 %)"
    assert doubts.doubts(bound, [row(IDLE, 5.1), row(BANDWIDTH, 70.0, band=30.0)]) == [], "nothing pushes"
    assert doubts.doubts(found(), [row(IDLE, 5.4)]) == [], "no bound, and not far"


def test_what_is_further_off_than_three_bands_is_told_and_not_without_end():
    rows = [row(Cell("idle", (0, n), 100.0), 109.5 + n) for n in range(20)]
    lines = doubts.doubts(found(), [row(Cell("idle", (1, 1), 100.0), 108.9), *rows])
    assert len(lines) == doubts.MOST + 1
    assert lines[0] == "far outside its band of 3.0 %: idle 0 19, 100.0 ns measured, 128.5 ns simulated (+28 %)"
    assert lines[-1].endswith(f"{20 - doubts.MOST} more experiments")


def test_an_experiment_without_a_band_is_never_far():
    assert doubts.doubts(found(), [row(IDLE, 5000.0, band=float("inf"))]) == []


def test_what_has_not_converged_is_named():
    assert doubts.unconverged(found()) == ""
    value = load(IVB).core.prefetch_buffers
    ended = found(unsettled=["core.prefetch_buffers", "least squares of latencies"])
    assert doubts.unconverged(ended) == (
        f"the search for core.prefetch_buffers ended at the end of its range (it is {value:g});"
        " least squares of latencies ended without success"
    )
    assert not ended.converged and found().converged
    assert doubts.unconverged(found(errors={})) == ("no standard error of fabric.controller_ns, core.prefetch_buffers")


def test_least_squares_that_lmfit_aborts_have_not_converged(monkeypatch):
    """Five evaluations are fewer than the first step of a fit of two values takes."""
    whole = lmfit.minimize
    monkeypatch.setattr(lmfit, "minimize", lambda *words, **named: whole(*words, **named, max_nfev=5))
    cells = [Cell("idle", (0, 0), 75.0), Cell("idle", (0, 1), 140.0)]
    cut = fit.fit(load(IVB), published.load(IVB)._replace(cells=cells, curve=None))
    assert not cut.converged
    assert cut.unsettled == ["least squares of latencies"]
    monkeypatch.undo()
    assert fit.fit(load(IVB), published.load(IVB)._replace(cells=cells, curve=None)).converged


@pytest.mark.parametrize(
    ("idle", "bandwidth", "told"),
    [
        ([[5, 100], [100, 5]], None, ["fabric.controller_ns is at its bound, 0", "5.0 ns measured"]),
        ([[9000, 9100], [9100, 9000]], None, ["fabric.controller_ns is at its bound, 200", "9000.0 ns measured"]),
        ([[200, 90], [90, 200]], None, ["far outside", "idle 0 1, 90.0 ns measured"]),
        ([[61, 115], [115, 61]], [[3e6, 25e3], [25e3, 3e6]], ["bandwidth 0 0, 3000.0 GB/s measured"]),
    ],
    ids=["5 ns", "9000 ns", "local slower than remote", "3 TB/s"],
)
def test_a_fit_to_absurd_data_says_so(tmp_path, idle, bandwidth, told):
    done = calibrated.calibrate(calibrated.start([log_of(tmp_path, idle, bandwidth)], "", IVB))
    text = "\n".join(done.doubts)
    assert all(part in text for part in told), text
    assert done.doubts[0] in calibrated.text(done, ["mlc.log"])


def test_a_fit_to_its_own_machine_says_nothing():
    done = calibrated.calibrate(calibrated.start([IVB], "", IVB))
    assert done.doubts == [] and done.unconverged == ""


# ---- data that cannot be ----


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([[61, 115, 115], [115, 61, 115], [115, 115, 61]], r"mlc.log:3: has idle 0 2"),
        ([[61]], r"mlc.log:3: a matrix of 1 node\(s\) \(expected 2, as ivb"),
        ([[61, -115], [115, 61]], r"mlc.log:4: '-115'"),
        ([[61, "nan"], [115, 61]], r"mlc.log:4: 'nan'"),
        ([[61, 0], [115, 61]], r"mlc.log:4: '0'"),
        ([[61, "inf"], [115, 61]], r"mlc.log:4: 'inf'"),
    ],
)
def test_a_log_of_another_size_or_of_no_numbers_is_refused(tmp_path, rows, what):
    with pytest.raises(UserError, match=what):
        calibrated.start([log_of(tmp_path, rows)], "", IVB)


def folder_of(tmp_path, name, text):
    sheet = Path(published.shipped("calibration/hosts") / IVB / "spec.toml").read_text()
    (tmp_path / "spec.toml").write_text(sheet)
    (tmp_path / name).write_text(text)
    return tmp_path


HEAD = "cpu_node,mem_node,latency_ns\n"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (HEAD + "0,0,61\n0,1,nan\n", r"idle_latency.csv:3: nan in the column latency_ns .expected a number above 0"),
        (HEAD + "0,0,-61\n", r"idle_latency.csv:2: -61 in the column"),
        (HEAD + "0,0,inf\n", r"idle_latency.csv:2: inf in the column"),
        (HEAD + "0,0,\n", r"idle_latency.csv:2: '' is no number"),
        (HEAD + "0,0,61\n0,2,115\n", r"idle_latency.csv:3: node 2 .expected 0 to 1"),
        (HEAD + "0,0,61\nx,1,115\n", r"idle_latency.csv:3: node 'x'"),
    ],
)
def test_a_folder_of_a_host_is_held_to_its_sheet(tmp_path, text, what):
    with pytest.raises(UserError, match=what):
        published.load(folder_of(tmp_path, "idle_latency.csv", text))


def test_a_matrix_of_fewer_nodes_than_the_sheet_has_is_refused(tmp_path):
    rows = "".join(f"{a},{b},100\n" for a in (0, 1) for b in (0, 1))
    folder = folder_of(tmp_path, "idle_latency.csv", HEAD + rows)
    sheet = (folder / "spec.toml").read_text()
    (folder / "spec.toml").write_text(sheet.replace("nodes_per_socket = 1", "nodes_per_socket = 2"))
    with pytest.raises(UserError, match=r"idle_latency.csv:5: a matrix of 2 nodes .expected 4"):
        published.load(folder)


# ---- a host's own file ----


@pytest.fixture(scope="module")
def ours():
    return host_ship.load("epyc-zen5-vm-1n")


@pytest.mark.parametrize(
    ("sample", "field", "value"),
    [("latency_ns", "quiet", -5.0), ("latency_ns", "median", 0.0), ("ran_share", "p10", -1.0)],
)
def test_a_file_with_impossible_numbers_is_refused(tmp_path, sample, field, value):
    raw = json.loads((published.shipped("calibration/hosts") / "epyc-zen5-vm-1n/A.json").read_bytes())
    raw["measurements"][3]["samples"][sample][field] = value
    (tmp_path / "host.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match=rf"host.json: measurements\[3\]: {sample} has {value:g} "):
        calibrated.start([str(tmp_path / "host.json")])


def test_a_host_is_not_fitted_from_what_was_fitted_to_it(ours):
    """Whichever of its two files it is; another host with the same processor may learn from it."""
    for file in ours:
        assert host_base.own(file) == ["epyc-zen5-vm-1n"]
        assert "the rest as genoa-" in host_base.base(file, "mine", "A.json").description
    where = published.shipped("calibration/hosts") / "epyc-zen5-vm-1n/A.json"
    begun = calibrated.start([str(where)])
    assert any("own model is not learnt from" in note for note in begun.notes)
    asked = calibrated.start([str(where)], base="epyc-zen5-vm-1n")
    assert changed(asked.machine, {}).fabric == load("epyc-zen5-vm-1n").fabric
    assert begun.machine.fabric != asked.machine.fabric


def test_another_host_with_the_same_processor_may_learn_from_it(ours):
    import msgspec

    first = ours[0]
    larger = [{**one, "size_bytes": 2 * one["size_bytes"]} for one in first.host["caches"]]
    other = msgspec.structs.replace(first, host={**first.host, "caches": larger})
    assert host_base.own(other) == []


def test_a_file_of_another_shape_than_the_base_is_refused():
    where = str(published.shipped("calibration/hosts") / "epyc-zen5-vm-1n/A.json")
    with pytest.raises(UserError, match=r"A.json: a host of 1 node\(s\) and 2 CPUs .expected 2 and 40 at most"):
        calibrated.start([where], base=IVB)
