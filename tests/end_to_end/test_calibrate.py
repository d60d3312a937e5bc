"""From a log to a fitted model on the command line, and from a model and a log to a verdict."""

import json
import tomllib
from pathlib import Path

import pytest

from numasim.calibration import calibrated, compose, fit, spec, validate
from numasim.cli import calibrate as verb
from numasim.machine import load
from numasim.study.matrix import latency_matrix

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests/data/calibration"
PLANTED = {"fabric.controller_ns": 40.0, "links.upi.latency_ns": 31.0}


@pytest.fixture(scope="module")
def planted_log():
    """An MLC log of a machine that is the shipped one but for two values, which are not in it."""
    rows = latency_matrix(load("icx-8360y-2s", PLANTED))
    lines = [f"{node:8d}\t" + "".join(f"{ns:6.1f}\t" for ns in row) for node, row in enumerate(rows)]
    return "\n".join(
        ["Measuring idle latencies (in ns)...", "\t\tNuma node", "Numa node\t     0\t     1\t", *lines, ""]
    )


def test_planted_values_come_back(cli, tmp_path, planted_log):
    (tmp_path / "mlc.log").write_text(planted_log)
    done = cli("calibrate", "mlc.log", "--base", "icx-8360y-2s", "-o", "mine.toml", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    values = {value["key"]: value for value in told["values"]}
    assert set(values) == set(PLANTED)
    for key, planted in PLANTED.items():
        assert abs(values[key]["value"] - planted) <= 3 * values[key]["standard_error"]
        assert abs(values[key]["value"] - values[key]["prior"]) > 3 * values[key]["standard_error"], "it did move"
    assert (told["free_parameters"], told["independent_measurements"], told["measurements"]) == (2, 2, 4)
    assert max(abs(row["deviation_percent"]) for row in told["experiments"]) < 0.5
    machine = load(tmp_path / "mine.toml")
    assert machine.name == "mine"
    for key, value in values.items():
        assert machine.values()[key] == value["value"]
        assert machine.source(key).startswith("fitted")


def test_the_report_names_values_errors_and_residuals(cli, tmp_path, planted_log):
    (tmp_path / "mlc.log").write_text(planted_log)
    sheet = str(ROOT / "calibration/hosts/icx-8360y-2s/spec.toml")
    done = cli("calibrate", "mlc.log", "--spec", sheet, "-o", "sheet.toml", "--name", "server")
    assert done.returncode == 0, done.stderr
    for words in ("fabric.controller_ns", "std. error", "fixed by", "2 idle", "Not determined", "At a bound"):
        assert words in done.stdout
    assert "2 free values; 2 independent measurements (4 values" in done.stdout
    assert "idle 0 1" in done.stdout.partition("worst first")[2]
    text = (tmp_path / "sheet.toml").read_text()
    assert "Fitted by numasim calibrate to mlc.log" in text
    assert load(tmp_path / "sheet.toml").name == "server"


def test_a_verdict_of_each_experiment(cli, tmp_path, planted_log):
    (tmp_path / "mlc.log").write_text(planted_log)
    done = cli("validate", "icx-8360y-2s", "mlc.log", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["experiment"]: row for row in json.loads(done.stdout)["models"]["icx-8360y-2s"]}
    local = rows["idle 0 0"]
    assert local["deviation_percent"] == pytest.approx(100 * (local["simulated"] / local["expected"] - 1))
    assert not local["good"], "the planted machine is 13 ns slower"
    assert "outside" in cli("validate", "icx-8360y-2s", "mlc.log").stdout


def test_a_fit_without_a_standard_error_is_exit_code_3_and_written(tmp_path, monkeypatch, capsys, planted_log):
    """Both are the fit's to say: here it is made to say that it does not know one of its values."""
    whole = fit.fit

    def unsure(*words, **named):
        found = whole(*words, **named)
        return found._replace(errors={**found.errors, "links.upi.latency_ns": 0.0})

    monkeypatch.setattr(fit, "fit", unsure)
    (tmp_path / "mlc.log").write_text(planted_log)
    out = tmp_path / "out.toml"
    code = verb.calibrate([str(tmp_path / "mlc.log")], output=str(out), base="icx-8360y-2s")
    assert code == verb.NOT_CONVERGED == 3
    shown = capsys.readouterr()
    assert "no standard error of links.upi.latency_ns" in shown.err
    assert "none" in shown.out
    assert "Not converged: no standard error of links.upi.latency_ns" in out.read_text()
    assert load(out).name == "out"


SMALL = """
name = "small"
family = "skylake-sp"
sockets = 1
cores = 1
frequency_ghz = 3.0
l3_bytes = "1.375MiB"
[memory]
generation = "DDR4"
mts = 2666
channels = 2
"""


def test_a_fit_that_does_not_converge_says_which_and_is_written(cli, tmp_path):
    """Two channels of DDR4-2666 carry 42.7 GB/s, however many misses the core has under way: 60 GB/s are beyond the end
    of the search's range."""
    (tmp_path / "small.toml").write_text(compose.compose(spec.from_tables(tomllib.loads(SMALL))).to_toml())
    (tmp_path / "mlc.log").write_text(
        "Measuring Memory Bandwidths between nodes within system\n\t\tNuma node\nNuma node\t 0\n0\t60000\n"
    )
    done = cli("calibrate", "mlc.log", "--base", "./small.toml", "-o", "out.toml")
    assert done.returncode == verb.NOT_CONVERGED
    bound, far, last = done.stderr.splitlines()
    assert last.startswith("numasim: not converged: the search for core.prefetch_buffers ended at the end of its range")
    assert bound.startswith("numasim: core.prefetch_buffers is at its bound, ")
    assert all("bandwidth 0 0, 60.0 GB/s measured" in line for line in (bound, far))
    assert "At a bound: core.prefetch_buffers." in done.stdout
    assert load(tmp_path / "out.toml").core.prefetch_buffers > 0
    assert "# Not converged: the search for core.prefetch_buffers" in (tmp_path / "out.toml").read_text()


def test_refits_say_how_sure_all_values_are_together(cli, tmp_path, planted_log):
    (tmp_path / "mlc.log").write_text(planted_log)
    words = ["calibrate", "mlc.log", "--base", "icx-8360y-2s", "-o", "out.toml", "--bootstrap"]
    assert cli(*words, "9").returncode == 2, "fewer say nothing of correlations"
    done = cli(*words, "10")
    assert done.returncode == 0, done.stderr
    assert "with 10 refits." in done.stdout
    told = load(tmp_path / "out.toml").uncertainty
    assert set(told.keys) == set(PLANTED)
    assert told.correlation[0][1] < 0, "what the die takes, the link does not"
    assert done.stderr == "", "no bar where nobody looks"


def test_a_comparison_is_drawn(cli, tmp_path, planted_log):
    (tmp_path / "mlc.log").write_text(planted_log)
    done = cli("validate", "icx-8360y-2s", "mlc.log", "--plot", "mine.svg")
    assert done.returncode == 0, done.stderr
    assert "mine.svg: each kind of experiment" in done.stdout
    drawn = (tmp_path / "mine.svg").read_text()
    assert "icx-8360y-2s beside mlc.log" in drawn and "Idle latency, ns" in drawn
    for row in latency_matrix(load("icx-8360y-2s", PLANTED)):
        for ns in row:
            assert f"measured {float(f'{ns:.1f}'):.1f}" in drawn


def test_a_log_of_one_machine_beside_a_matrix_is_one_host():
    begun = calibrated.start(
        [str(DATA / "mlc_icx-8360y-2s.txt"), str(DATA / "cores_icx-8360y-2s.csv")], "x", "icx-8360y-2s"
    )
    assert {cell.quantity for cell in begun.host.cells} == {"idle", "bandwidth", "c2c", "peak", "pairs"}
    assert begun.machine.name == begun.host.name == "x"
    assert calibrated.start(["icx-8360y-2s"], "", "icx-8360y-2s").host.cells == begun.host.cells


def test_a_row_is_told_in_full():
    row = validate.Row("idle 0 0", "ns", 100.0, 103.0, 3.5, True, 99.0, float("nan"))
    told = calibrated.row_dict(row)
    assert told["deviation_percent"] == pytest.approx(3.0)
    assert told["good"] and told["fitted"]


WRONG = {
    "of which machine": ["calibrate", "log", "-o", "o.toml"],
    "nowhere to write": ["calibrate", "log", "--base", "icx-8360y-2s"],
    "ends in .toml": ["calibrate", "log", "--base", "icx-8360y-2s", "-o", "o.json"],
    "no folder": ["calibrate", "log", "--base", "icx-8360y-2s", "-o", "none/o.toml"],
    "given twice": ["calibrate", "log", "log", "--base", "icx-8360y-2s", "-o", "o.toml"],
    "--base beside --spec": ["calibrate", "log", "--base", "icx-8360y-2s", "--spec", "s.toml", "-o", "o.toml"],
    "--set without --base": ["calibrate", "log", "--spec", "s.toml", "--set", "a=1", "-o", "o.toml"],
    "no machine model": ["calibrate", "log", "--base", "icx-8360", "-o", "o.toml"],
    "No such file": ["calibrate", "missing", "--base", "icx-8360y-2s", "-o", "o.toml"],
    "log:4": ["calibrate", "cut", "--base", "icx-8360y-2s", "-o", "o.toml"],
    "has idle 0 2": ["calibrate", str(DATA / "mlc_bdw-2680v4-2s-cod.txt"), "--base", "icx-8360y-2s", "-o", "o.toml"],
    "decides any value": ["calibrate", str(DATA / "likwid_icx-8360y-2s.txt"), "--base", "icx-8360y-2s", "-o", "o.toml"],
    "cannot draw a .jpg": ["validate", "icx-8360y-2s", "log", "--plot", "a.jpg"],
    "--plot with --published": ["validate", "--published", "--plot", "a.png"],
    "measured where": ["validate", "teaching-2s"],
    "one of the two": ["validate", "icx-8360y-2s", "--published"],
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_slip_is_told_in_one_line(cli, tmp_path, planted_log, reason):
    (tmp_path / "log").write_text(planted_log)
    words = WRONG[reason]
    if "cut" in words:
        words, reason = ["log" if word == "cut" else word for word in words], "log:4"
        (tmp_path / "log").write_text("\n".join(planted_log.splitlines()[:4])[:-8])
    done = cli(*words)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "o.toml").exists()
