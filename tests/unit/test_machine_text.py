"""Is a machine described as numactl and the model file would?"""

import pytest

from numasim import machine
from numasim.machine.text import describe, numactl_hardware, size_text

TEACHING = """\
available: 2 nodes (0-1)
node 0 cpus: 0 1 2 3
node 0 size: 1024 MB
node 0 free: 1024 MB
node 1 cpus: 4 5 6 7
node 1 size: 1024 MB
node 1 free: 1024 MB
node distances:
node   0   1
  0:  10  20
  1:  20  10"""


def test_numactl_hardware_line_by_line() -> None:
    assert numactl_hardware(machine.load("teaching-2s")) == TEACHING


def test_second_hardware_threads_come_after_all_first_ones() -> None:
    lines = numactl_hardware(machine.load("icx-8360y-2s")).splitlines()
    assert lines[1] == "node 0 cpus: " + " ".join(map(str, [*range(36), *range(72, 108)]))
    assert lines[2] == "node 0 size: 131072 MB"


@pytest.mark.parametrize("name", machine.names())
def test_a_description_has_every_section(name: str) -> None:
    sections = dict(describe(machine.load(name)))
    assert list(sections) == ["processor", "caches", "TLBs", "links", "memory", "prefetchers", "operating system"]
    assert all(label and value for rows in sections.values() for label, value in rows)


def test_a_description_says_what_the_model_says() -> None:
    sections = {title: dict(rows) for title, rows in describe(machine.load("icx-8360y-2s"))}
    assert sections["caches"]["L1D"] == "48 KiB a core, 12 ways, lru, 5 cycles = 1.6 ns"
    assert sections["caches"]["L3"] == "54 MiB a domain, 36 slices, 12 ways, lru, victim, 22.0 ns"
    assert "3 x 22.4 GB/s a direction" in sections["links"]["upi"]
    assert "204.8 GB/s together" in sections["memory"]["dram channels"]
    assert sections["operating system"]["timer ticks"] == "none"
    ticking = machine.load("icx-8360y-2s", {"os.tick_hz": 250})
    assert dict(dict(describe(ticking))["operating system"])["timer ticks"] == "250 a second and CPU, 1.4 us each"


def test_sizes() -> None:
    assert [size_text(n) for n in (64, 49152, 1310720, 2**37)] == ["64 B", "48 KiB", "1.25 MiB", "128 GiB"]
