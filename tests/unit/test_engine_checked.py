"""Does the engine stay within its arrays? The build with bounds checks runs what the fast one runs, and as it does."""

import os
import subprocess
import sys
from pathlib import Path

import numasim

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import numpy as np
from agreement.programs import mixed
from numasim.engine.feed import Length
from numasim.engine.jit import CHECK
from theory.small_runs import MIB, laid, loads, program, simulated, teaching

assert CHECK, "this is not the checked build"
shapes = [
    {"l3__inclusion": "victim", "l3__policy": "rrip", "core__fill_buffers": 1, "memory__dram__queue_entries": 2},
    {"l1d__policy": "tree-plru", "l2__policy": "random", "prefetch__streamer": True, "core__prefetch_buffers": 8},
    {"topology__threads_per_core": 2, "prefetch__next_line": True, "prefetch__ip_stride": True, "l2__ways": 8},
    {"os__tick_hz": 50_000.0, "memory__dram__trfc_ns": 300.0, "memory__dram__write_high": 6},
    {"core__fill_buffers": 24, "core__prefetch_buffers": 96, "prefetch__streamer": True, "fabric__remote_trackers": 2},
    {"l3__neighbours_gbps": 200.0, "memory__dram__write_high": 5, "tlb__walk": "nested", "tlb__guest_run": 8,
     "prefetch__ip_stride": True, "prefetch__ip_stride_distance": 64, "prefetch__ip_stride_pages": True,
     "prefetch__up_down": True, "core__prefetch_buffers": 16},
]
for seed, shape in enumerate(shapes):
    machine, size = teaching(core__branch_predictor=["tournament", "tage"][seed % 2], **shape), 1 << 15
    space = laid(machine, size, pages=["4k", "2m"][seed % 2], nodes=(seed % 2,))
    made = [mixed(0, size, 7 * seed + k, 400, synchronised=True, operations=k == 1, chains=k == 2) for k in range(4)]
    cpus = [0, 1, 9, 5] if "topology__threads_per_core" in shape else [0, 1, 4, 5]
    one, other = (
        simulated(machine, space, *made, cpus=cpus, length=Length(1, 0, 2), scheduler=scheduler).raw
        for scheduler in ("compiled", "simpy")
    )
    assert np.array_equal(one.access_rows, other.access_rows) and np.array_equal(one.counters, other.counters)
    assert np.array_equal(one.op_rows, other.op_rows) and one.simulated_ps == other.simulated_ps
    print(seed, one.accesses_simulated)
chain = program(loads(np.resize(np.random.default_rng(1).permutation(9000), 20_000) * 64, dependent=True))
print(simulated(teaching(), laid(teaching(), 2 * MIB, pages="4k"), chain).accesses())
"""


def test_the_checked_build_agrees_and_finds_nothing_out_of_bounds(tmp_path: Path) -> None:
    """Random programs that do a bit of everything, on machines of several shapes, then a chain through memory."""
    path = os.pathsep.join([str(Path(numasim.__file__).parents[1]), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
        env=os.environ | {"NUMASIM_CHECK": "1", "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split()[0:12:2] == ["0", "1", "2", "3", "4", "5"] and done.stdout.split()[-1] == "20000"
