"""What the simulating computer spent, and what it is."""

import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True)
class Host:
    """What a run cost the computer it ran on."""

    cpu_s: float  # simulation and trace generation together
    accesses_per_cpu_s: float  # all simulated accesses, warm-up included
    peak_rss_bytes: int  # of the whole process so far; 0: not known on this system


def measured(cpu_s: float, accesses: int) -> Host:
    """The cost of a run that took `cpu_s` for `accesses`; memory is read off the process now."""
    return Host(cpu_s, accesses / cpu_s if cpu_s > 0 else 0.0, peak_rss_bytes())


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far; 0 where the system does not say."""
    peak = _peak_of_status()
    if peak:
        return peak
    try:
        import resource  # not on Windows
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _peak_of_status() -> int:
    """As Linux tells it; getrusage's maximum there begins with that of the process that forked this one."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024  # proc(5): in kB, which are KiB
    except (OSError, ValueError, IndexError):
        pass
    return 0


def description() -> dict[str, str]:
    """The computer and the packages a result depends on, for its provenance."""
    known = {"system": platform.platform(), "processor": _processor(), "python": platform.python_version()}
    for package in ("numpy", "numba"):
        try:
            known[package] = version(package)
        except PackageNotFoundError:  # numba is optional
            known[package] = "none"
    return known


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
