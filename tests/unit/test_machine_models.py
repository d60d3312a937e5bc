"""Are the shipped models whole, sourced, and what their headers say?"""

import copy
import csv
import pickle
from pathlib import Path

import pytest

from numasim import machine
from numasim.assets import shipped
from numasim.machine import sources

MODELS = machine.names()
HOST = shipped("calibration/hosts") / "icx-8360y-2s"


def test_the_promised_models_are_there() -> None:
    assert {"icx-8360y-2s", "icx-8360y-2s-snc2", "teaching-2s"} <= set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_every_value_has_a_source_and_every_source_a_value(name: str) -> None:
    model = machine.load(name)
    assert model.name == name
    assert model.description
    assert model.unsourced() == []
    assert sources.idle(model.sources, model.values()) == []
    assert not [key for key, text in model.sources.items() if text.startswith("set:")]


@pytest.mark.parametrize("name", MODELS)
def test_written_copied_and_pickled_it_stays_the_same(name: str) -> None:
    model = machine.load(name)
    assert machine.from_toml_text(model.to_toml()) == model
    assert machine.from_tables(model.expanded()) == model
    assert pickle.loads(pickle.dumps(model)) == copy.copy(model) == model
    assert pickle.loads(pickle.dumps(model)).topology.hops == model.topology.hops


@pytest.mark.parametrize("name", MODELS)
def test_marks_in_comments_agree_with_the_sources(name: str) -> None:
    """A value commented "fitted" is fitted by [sources] too; likewise specified and assumed."""
    model = machine.load(name)
    table = ""
    for line in (shipped("models") / f"{name}.toml").read_text().partition("[sources]")[0].splitlines():
        if line.startswith("["):
            table = line.strip("[]")
        elif "=" in line and not line.startswith("#"):
            key = f"{table}.{line.split('=')[0].strip()}"
            marks = {mark for mark in ("specified", "fitted", "assumed") if mark in line.partition("#")[2]}
            assert not marks or model.source(key).partition(":")[0] in marks, line


def test_the_most_specific_source_counts() -> None:
    entries = {"*": "a", "l1d.*": "b", "l1d.size_bytes": "c", "*.size_bytes": "d"}
    assert [sources.find(entries, key) for key in ("l1d.size_bytes", "l1d.ways", "l2.size_bytes", "os.tick_hz")] == [
        "c", "b", "d", "a",
    ]  # fmt: skip
    assert sources.find({"l1d.*": "b"}, "l2.ways") == ""


def test_what_the_8360y_model_is_fitted_to_is_measured() -> None:
    """Each fitted constant names its figure, and that figure is in the host's measurements."""
    model = machine.load("icx-8360y-2s")
    assert set(model.fitted()) == {
        "fabric.controller_ns",
        "fabric.snoop_ns",
        "fabric.snoop_dirty_ns",
        "links.upi.latency_ns",
        "links.upi.data_bytes",
        "core.prefetch_buffers",
    }
    measured = {round(float(word), 1) for path in HOST.glob("*.csv") for word in numbers(path)}
    for key in model.fitted():
        figure = float(model.source(key).removeprefix("fitted: to ").split()[0])
        assert figure in measured, key
    assert machine.load("icx-8360y-2s-snc2").fitted() == []


def numbers(path: Path) -> list[str]:
    with path.open(newline="") as file:
        words = [word for row in csv.reader(file) for word in row]
    return [word for word in words if word.replace(".", "", 1).isdigit()]


def test_the_host_files_are_numbers_with_sources() -> None:
    text = (HOST / "SOURCE.md").read_text()
    for path in HOST.glob("*.csv"):
        assert f"| {path.name} |" in text
        assert numbers(path)
    assert "shared" not in text.replace("shared line", "")


def test_the_teaching_machine_can_be_done_on_the_blackboard() -> None:
    topology = machine.load("teaching-2s").topology
    assert topology.unloaded_ns(0, 0) == topology.unloaded_ns(1, 1) == 100
    assert topology.unloaded_ns(0, 1) == topology.unloaded_ns(1, 0) == 200


def test_the_8360y_is_near_its_measurements_before_any_simulation() -> None:
    """A sum of latencies and the mean wait for refresh by its duty cycle; TLBs and L3 hits are left out: 5 %."""
    model = machine.load("icx-8360y-2s")
    dram = model.memory["dram"]
    refresh = dram.trfc_ns**2 / (2 * dram.trefi_ns)
    assert model.topology.unloaded_ns(0, 0) + refresh == pytest.approx(89.2, rel=0.05)
    assert model.topology.unloaded_ns(0, 1) + refresh == pytest.approx(142.7, rel=0.05)


def test_the_far_half_costs_what_cascade_lake_suggests() -> None:
    topology = machine.load("icx-8360y-2s-snc2").topology
    assert 5 <= topology.unloaded_ns(0, 1) - topology.unloaded_ns(0, 0) <= 8
    assert topology.unloaded_ns(0, 2) == topology.unloaded_ns(0, 3) == topology.unloaded_ns(1, 2)
