"""Cores with many misses under way: does Little's law hold for their buffers, and do large machines of them run?"""

from typing import Any

import numpy as np
import pytest

from numasim.engine.compiled import END
from numasim.errors import UserError
from theory.small_runs import COLD, MIB, laid, ld, loads, pause, program, simulated, teaching, with_curve

FAST: tuple[list[list[float]], float] = ([[0.0, 50.0], [4000.0, 50.0]], 4000.0)  # every read takes 50 ns
LOCAL = 100.0  # ns of a load from there: 20 to the L3 and back, 30 for the controller
CORE: dict[str, Any] = {
    "core__rob_entries": 4096, "core__issue_width": 8, "tlb__l1_2m_entries": 32, "tlb__l1_2m_ways": 32,
}  # fmt: skip
PAGES = [ld(page * 2 * MIB + 64 * page, dep0=1) for page in range(8)]  # all of 16 MiB, for the TLBs


@pytest.mark.parametrize("fills", [12, 28, 29, 48])
def test_independent_loads_are_under_way_in_all_fill_buffers(fills: int) -> None:
    lines = 64 * np.random.default_rng(fills).permutation(1 << 18)[:6000]
    machine = with_curve(*FAST, **CORE, core__fill_buffers=fills)
    done = simulated(machine, laid(machine, 16 * MIB), program(PAGES, loads(lines, dependent=False, site=1)))
    stay = done.mean(1) - done.stack(1)["fill_wait"]
    assert stay == pytest.approx(LOCAL, abs=0.01)
    assert 6000 / done.time * stay == pytest.approx(fills, rel=0.01)


@pytest.mark.parametrize(("fills", "ahead"), [(4, 24), (4, 40), (24, 64), (12, 108)])
def test_a_streamer_has_lines_under_way_in_all_prefetch_buffers(fills: int, ahead: int) -> None:
    """Sixteen streams in turn ask for far more than there are buffers: a core's lines come at (fill and prefetch
    buffers) a latency, never faster. But at the start of a page a stream has two misses that take fill buffers alone:
    32 of the 1024 lines of sixteen pages."""
    first = 4096 * (16 * np.random.default_rng(ahead).permutation(256)[:20, None] + np.arange(16))
    lines = (first[:, None] + 64 * np.arange(64)[:, None]).reshape(-1)
    streamer: dict[str, Any] = {
        "prefetch__streamer": True, "prefetch__streamer_distance": 64, "prefetch__streamer_degree": 8,
        "core__fill_buffers": fills, "core__prefetch_buffers": ahead, "l2__size_bytes": 1 << 17,
    }  # fmt: skip
    machine = with_curve(*FAST, **CORE, **streamer)
    done = simulated(machine, laid(machine, 16 * MIB), program(PAGES, loads(lines, dependent=False, site=1)))
    under_way = done.raw.node_read_bytes[:, 0].sum() / 64 / done.time * LOCAL
    assert under_way <= fills + ahead
    assert under_way == pytest.approx(1024 / (32 / fills + 992 / (fills + ahead)), rel=0.05)


def test_a_large_machine_of_such_cores() -> None:
    """192 cores with 120 buffers each, all at work: as many actors as fit into less than half of the agenda's keys."""
    shape: dict[str, Any] = {
        "topology__cores_per_domain": 96, "core__fill_buffers": 48, "core__prefetch_buffers": 72,
        "core__rob_entries": 64,
    }  # fmt: skip
    machine = with_curve(*FAST, **shape)
    made = [program(loads(k * 2 * MIB + 64 * np.arange(0, 640, 10), dependent=False)) for k in range(192)]
    done = simulated(machine, laid(machine, *[2 * MIB] * 192), *made, length=COLD)
    assert done.accesses() == 192 * 64
    assert done.run.m.channels < 1 << 15
    touched = np.asarray(done.run.m.slot.t0)[::64].reshape(192, 128)
    assert (touched[:, :64] > 0).sum(axis=1).max() <= 64
    assert not touched[:, 64:].any(), "slots that no run has needed are never written"


def test_time_ends() -> None:
    """The agenda's keys hold 70 s of simulated time."""
    assert END // 10**12 == 70
    machine = teaching()
    late = program([pause(60 * 10**9), ld(0)])
    assert simulated(machine, laid(machine, 2 * MIB), late, length=COLD).time > 60e9
    late = program([pause(60 * 10**9), ld(0), pause(20 * 10**9), ld(64)])
    with pytest.raises(UserError, match="more than 70 s of simulated time"):
        simulated(machine, laid(machine, 2 * MIB), late, length=COLD)
