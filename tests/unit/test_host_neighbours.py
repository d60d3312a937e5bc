"""Does a fit of a guest tell an L3 of which others take more and more from a smaller one of its own?"""

import msgspec
import pytest

from numasim.calibration import families, host_base, host_fit, host_neighbours, host_ship
from numasim.calibration.host_twins import HostTwins
from numasim.calibration.values import changed
from numasim.machine.nearest import GENERATIONS
from unit.test_host_twins import HOST, KIB, MIB, base, file_of, run, seen

SIZES = (512 * KIB, 768 * KIB, MIB, 3 * MIB // 2, 2 * MIB, 3 * MIB, 4 * MIB, 6 * MIB, 24 * MIB)
CHASES = [run("chase", {"size": size, "pages": "4k", "within": "all"}) for size in SIZES]


def fitted(planted: dict[str, float | str], guest: bool = True) -> host_fit.HostFit:
    """A fit's stage, begun with the whole L3 of the host and nobody else in it; or with the part that was planted."""
    twins = HostTwins(changed(base(), planted))  # type: ignore[arg-type]
    file = file_of([seen(one, twins.values(one)) for one in CHASES])
    file = msgspec.structs.replace(file, host=HOST | {"virtual": {"is": guest, "by": "kvm"}})
    fit = host_fit.HostFit(base(), file, "test", lambda what, done: None)
    fit.machine = changed(fit.machine, {key: value for key, value in planted.items() if "neighbours" not in key})  # type: ignore[misc]
    host_neighbours.neighbours(fit)
    return fit


def test_the_rate_of_others_is_found() -> None:
    """Chases that end early in a whole L3, and steeply: 5 GB/s bring as much as it holds in 0.8 ms."""
    found = fitted({"l3.neighbours_gbps": 5.0, "l3.policy": "lru"}).machine
    assert found.l3.size_bytes == 4 * MIB
    assert found.l3.neighbours_gbps == pytest.approx(5.0, abs=0.5)


def test_a_smaller_one_of_its_own_stays() -> None:
    """Chases that hit a quarter of the L3 however slowly they come back to it."""
    planted = {"l3.size_bytes": MIB, "l3.ways": 8, "l3.policy": "random"}
    found = fitted(planted).machine
    assert (found.l3.size_bytes, found.l3.neighbours_gbps) == (MIB, 0.0)


def test_a_host_that_is_no_guest_has_none() -> None:
    assert fitted({"l3.neighbours_gbps": 5.0, "l3.policy": "lru"}, guest=False).machine.l3.neighbours_gbps == 0.0


def test_width_and_window_are_those_of_the_processors_design() -> None:
    """Of what no experiment tells: a Zen 5 host is not as wide as the Zen 4 model that the rest is taken from."""
    assert set(families.CODES) <= {one.code for one in GENERATIONS}
    assert set(families.CODES.values()) <= set(families.names())
    a, _ = host_ship.load("epyc-zen5-vm-1n")
    made = host_base.base(a, "mine", "A.json", "genoa-9354p-nps4")
    zen5 = families.tables("zen5")
    assert (made.core.issue_width, made.core.rob_entries) == (zen5["core"]["issue_width"], zen5["core"]["rob_entries"])
    assert made.source("core.issue_width") == zen5["sources"]["core.issue_width"]
    unknown = msgspec.structs.replace(a, host=a.host | {"cpu": a.host["cpu"] | {"id": "AuthenticAMD-99-1-1"}})
    assert host_base.base(unknown, "mine", "A.json", "genoa-9354p-nps4").core.rob_entries == 320
