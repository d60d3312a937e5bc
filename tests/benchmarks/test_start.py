"""Does numasim answer at once? These are seconds, since a person waits for them; each the best of three."""

import subprocess
import sys
import time


def best_s(*words: str) -> float:
    """Wall-clock seconds of a command, from the start of Python to its end."""
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "numasim", *words], check=True, capture_output=True)
        taken.append(time.perf_counter() - begin)
    return min(taken)


def test_help():
    assert best_s("--help") < 0.5


def test_small_run_once_compiled():
    assert best_s("run", "teaching-2s", "chase", "size=64KiB", "accesses=1000") < 2
