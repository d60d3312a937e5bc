"""Does numasim answer while a person waits? These are seconds, so only a quiet machine can tell; the best of three."""

import subprocess
import sys
import time

import numasim as ns
from benchmarks.numasim_side import MODEL, compile_engine


def best_s(*words: str) -> float:
    """Wall-clock seconds of a command, from the start of Python to its end."""
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "numasim", *words], check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - begin)
    return min(taken)


def test_help():
    assert best_s("--help") < 0.5


def test_small_run_once_compiled():
    assert best_s("run", "teaching-2s", "chase", "size=64KiB", "accesses=1000") < 2


def test_loaded_latency_curve_of_two_sockets():
    """Twenty points from idle to saturated, all 72 cores at work on their own nodes: under 60 s of one CPU."""
    compile_engine()
    begin, latencies_ns = time.process_time(), []
    for delay in (0, *(round(20 * 1.4**step) for step in range(19))):
        where = {"threads": 72, "physcpubind": "0-71", "localalloc": True, "pages": "2m"}
        result = ns.run(MODEL, "loaded", size="64MiB", delay=delay, accesses=3000, warmup=0, **where)
        latencies_ns.append(result.groups["chaser"].access.mean_ns)
    assert time.process_time() - begin < 60
    assert latencies_ns[0] > 1.5 * latencies_ns[-1]  # it is the curve, not its flat end
