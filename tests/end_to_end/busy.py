"""A result that has something of everything, for the tests of the page."""

import functools
import tempfile
from pathlib import Path

from numasim.results import Result
from numasim.study import scenario
from numasim.study.run import run_scenario

# Two groups, of which one has operations; links, memories, sites and regions all have something to show.
BUSY = """
machine = "icx-8360y-2s"
[[group]]
name = "service"
workload = "map"
length = 20_000
dependent = true
lookups = 4_000
laps = 2
[[group]]
name = "neighbours"
workload = "stream"
size = "16MiB"
ratio = "2:1"
pages = "2m"
threads = 12
cpunodebind = "1"
membind = "0"
warmup = 0
accesses = 60_000
"""


@functools.cache
def busy_result() -> Result:
    """Simulated once, for all tests of a process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "busy.toml"
        path.write_text(BUSY)
        return run_scenario(scenario.load(str(path)))
