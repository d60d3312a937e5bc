"""Does the picture of a comparison show the numbers of its rows, in the formats that are asked for?"""

import numpy as np
import pytest
from matplotlib.figure import Figure

from numasim.calibration import baselines, plot
from numasim.calibration.host_validate import HostRow
from numasim.calibration.published import Curve
from numasim.calibration.validate import Row
from numasim.errors import UserError

NAN = float("nan")
CURVE = Curve(np.array([5.0, 20.0, 40.0, 60.0, 95.0, 100.0]), np.array([80.0, 82.0, 86.0, 95.0, 150.0, 250.0]), 2)


def cell(name, expected, simulated, unit="ns"):
    return Row(name, unit, expected, simulated, 3.0, True, NAN, NAN)


def run(name, expected, simulated, unit="ns"):
    return HostRow(name, unit, expected, simulated, 5.0, 0.0, True)


def drawn(rows, curve=None):
    """The axes of the first panel."""
    axis = Figure().subplots()
    (panel,) = plot.panels(rows, curve)
    panel.draw(axis)
    return axis


def points(axis, label):
    (line,) = [line for line in axis.get_lines() if line.get_label() == label]
    return line.get_xydata().tolist()


def test_a_loaded_curve_stands_beside_both_baselines():
    rows = [cell(f"loaded {x:.0f} GB/s", y, y + 1) for x, y in zip(CURVE.gbps[:4], CURVE.ns[:4], strict=True)]
    rows += [cell("loaded, peak", 100.0, 98.0, "GB/s"), cell("loaded, latency at the peak", 250.0, 240.0)]
    axis = drawn(rows, CURVE)
    assert points(axis, "measured") == np.stack([CURVE.gbps, CURVE.ns], 1).tolist()
    assert points(axis, "simulated") == [[5, 81], [20, 83], [40, 87], [60, 96], [98, 240]]
    for name, model in (("fixed latency", baselines.fixed), ("M/D/1", baselines.md1)):
        told = points(axis, f"{name}, fitted to the same")
        fitted = model(CURVE.gbps[:4], CURVE.ns[:4])
        assert [y for _, y in told] == pytest.approx([fitted(x) for x, _ in told])
        assert told[0][0] == 5 and told[-1][0] == 100


def test_loads_of_a_file_are_a_curve_too():
    names = [f"loaded pages=2m size=128m delay={delay}" for delay in (0, 200, 1000)]
    figures = [(40.0, 200.0), (20.0, 150.0), (5.0, 120.0)]
    rows = [run(f"{name} read", x, x / 2, "GB/s") for name, (x, _) in zip(names, figures, strict=True)]
    rows += [run(f"{name} latency", y, y + 5) for name, (_, y) in zip(names, figures, strict=True)]
    axis = drawn(rows)
    assert points(axis, "measured") == [[5, 120], [20, 150], [40, 200]]
    assert points(axis, "simulated") == [[2.5, 125], [10, 155], [20, 205]]
    assert len(axis.get_lines()) == 4
    assert len(drawn(rows[:2] + rows[3:5]).get_lines()) == 2, "two points are too few for M/D/1's three constants"


def test_a_chase_is_drawn_by_its_working_set():
    rows = [
        run(f"chase pages=2m size={size} within=all latency", y, y + 1) for size, y in (("64m", 90.0), ("16k", 1.0))
    ]
    axis = drawn([*rows, run("chase pages=4k size=1g within=all latency", 130.0, 125.0)])
    assert points(axis, "pages=2m measured") == [[16 << 10, 1], [64 << 20, 90]]
    assert points(axis, "pages=2m simulated") == [[16 << 10, 2], [64 << 20, 91]]
    assert points(axis, "pages=4k simulated") == [[1 << 30, 125]]
    assert axis.get_xscale() == axis.get_yscale() == "log"
    assert points(drawn([cell("chase 64", 80.0, 81.0)]), "measured") == [[64 << 20, 80]]


def test_a_matrix_is_a_map_of_what_the_simulation_is_off_by():
    rows = [cell(f"idle {a} {b}", 100.0, 100.0 + a - 2 * b) for a in (0, 1) for b in (0, 1, 2)]
    axis = drawn(rows)
    np.testing.assert_allclose(axis.get_images()[0].get_array(), [[0, -2, -4], [1, -1, -3]], atol=1e-9)
    told = {text.get_position(): text.get_text() for text in axis.texts}
    assert told[2, 1] == "measured 100.0\nsimulated 97.0\n-3.0 %"


def test_all_else_is_a_pair_of_marks_a_row():
    rows = [
        run(f"bandwidth pages=4k cpus={cpus} ratio=1:0 read", 30.0 * n, 20.0 * n, "GB/s")
        for n, cpus in ((1, "0"), (2, "0-1"))
    ]
    axis = drawn(rows)
    assert points(axis, "measured") == [[30, 1], [60, 0]]
    assert points(axis, "simulated") == [[20, 1], [40, 0]]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cpus=0 read", "cpus=0-1 read"]
    assert axis.get_title("left") == "Bandwidth, GB/s (pages=4k ratio=1:0)"


def test_what_belongs_together_is_one_panel():
    rows = [cell("peak 2 1", 100.0, 90.0), cell("triad 2 1", 95.0, 90.0), cell("stream 4", 40.0, 41.0)]
    rows += [run("list length=32k operation", 1e5, 1.2e5), run("tree length=1k operation", 45.0, 44.0)]
    peak, stream, programs = plot.panels(rows)
    axis = Figure().subplots()
    programs.draw(axis)
    assert axis.get_xscale() == "log"
    assert stream.high == plot.HIGH and peak.high < plot.HIGH


@pytest.mark.parametrize("suffix", plot.FORMATS)
def test_the_same_rows_make_the_same_file(tmp_path, suffix):
    rows = [cell("idle 0 0", 90.0, 91.0), cell("loaded, peak", 100.0, 98.0, "GB/s")]
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (first, second):
        plot.draw(path, "mine beside A.json", rows, CURVE)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes()[:4] in (b"\x89PNG", b"<?xm", b"%PDF")
    assert sorted(tmp_path.iterdir()) == [first, second], "nothing is left beside them"


@pytest.mark.parametrize(
    ("name", "what"), [("a.jpg", "cannot draw a .jpg"), ("a", "file without suffix"), ("no/a.png", "no folder")]
)
def test_what_cannot_be_drawn_is_told_before(tmp_path, name, what):
    with pytest.raises(UserError, match=what):
        plot.check_format(tmp_path / name)
