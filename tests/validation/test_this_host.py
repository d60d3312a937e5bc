"""How close does the model of a rented virtual machine come to what was measured there a second time?

Only shipped data is read: nothing is timed here. calibration/hosts/epyc-zen5-vm-1n/SOURCE.md says how it was measured.
"""

import functools
import tomllib
from typing import Any

import msgspec
import pytest

from numasim.assets import shipped
from numasim.calibration import host_aims, host_ship, host_validate
from numasim.calibration.host_file import HostFile
from numasim.calibration.host_twins import PROGRAMS
from numasim.calibration.host_validate import HostRow
from numasim.machine import load

NAME = "epyc-zen5-vm-1n"


@functools.cache
def files() -> tuple[HostFile, HostFile]:
    return host_ship.load(NAME)


@functools.cache
def rows() -> list[HostRow]:
    """Those to which a band applies."""
    a, b = files()
    judged = [one for one in b.measurements if one.experiment in ("chase", "access", *PROGRAMS)]
    return host_validate.rows(load(NAME), a, msgspec.structs.replace(b, measurements=judged))


def missing() -> list[dict[str, Any]]:
    """Effects that the model lacks, each with the rows it puts outside their bands."""
    text = (shipped("calibration/hosts") / NAME / "missing.toml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = tomllib.loads(text)["effect"]
    return found


def test_both_were_measured_in_turn_in_one_boot() -> None:
    a, b = files()
    assert (a.label or "A") != b.label
    assert a.begun == b.begun and a.protocol == b.protocol and a.made_by == b.made_by
    assert a.protocol.rounds >= 10 and not a.partial and not b.partial
    assert a.host["cpu"] == b.host["cpu"] and a.host["virtual"]["is"]
    for one in (*a.measurements, *b.measurements):
        assert set(one.rounds) == set(range(a.protocol.rounds)), host_aims.words(one)


def test_every_row_is_within_its_band_or_is_named_with_what_the_model_lacks() -> None:
    """No row leaves its band unnoticed, and none that is named has come back into it."""
    outside = {row.name for row in rows() if row.judged and not row.good}
    named = [name for effect in missing() for name in effect["rows"]]
    assert len(named) == len(set(named)), "a row is named twice"
    assert outside == set(named)
    assert all(effect["lacks"] and effect["why"] for effect in missing())


def test_few_rows_are_excused_by_a_host_that_does_not_repeat_itself() -> None:
    told = host_validate.verdict(rows())
    assert told.usable and told.excused <= host_validate.EXCUSED * told.rows


def test_what_is_fitted_says_from_which_experiment() -> None:
    machine = load(NAME)
    fitted = machine.fitted()
    assert {"core.frequency_ghz", "l2.latency_cycles", "l3.size_bytes", "fabric.controller_ns"} <= set(fitted)
    for key in fitted:
        assert f"calibration/hosts/{NAME}/A.json" in machine.source(key), key
    told = machine.uncertainty
    assert {"fabric.controller_ns", "l3.lookup_ns"} <= set(told.keys)
    assert all(error > 0 for error in told.standard_error)


@pytest.mark.parametrize("key", ["l1d.latency_cycles", "l2.latency_cycles"])
def test_private_caches_cost_what_their_own_chase_says(key: str) -> None:
    """Nanoseconds of the smallest chase in a cache times the clock, which a chain of additions shows."""
    a, _ = files()
    machine = load(NAME)
    size = {"l1d.latency_cycles": 16 << 10, "l2.latency_cycles": machine.l2.size_bytes // 4}[key]
    aim = next(one for one in host_aims.aims(a) if one.one.experiment == "chase" and one.keys["size"] == size
               and one.keys["pages"] == "2m")  # fmt: skip
    assert aim.value * machine.core.frequency_ghz == pytest.approx(machine.values()[key], abs=0.6)
