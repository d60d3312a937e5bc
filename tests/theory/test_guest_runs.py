"""Do small pages that are neighbours in a program lie side by side in the guest's memory, as `guest_run` says?"""

import subprocess
from collections.abc import Callable

import numpy as np
import pytest

from numasim import machine as machines
from numasim.engine import nested
from numasim.errors import UserError
from numasim.machine import Machine
from numasim.memory import AddressSpace, PageMap, Placement
from theory.small_runs import COLD, MIB, laid, ld, program, simulated
from theory.test_nested_walks import Twin, state, virtual
from theory.test_tlb_runs import PAGE

RUNS = [1, 2, 4, 8, 16, 64, 512]


class InRuns(Twin):
    """A twin of walks whose small pages have places of their own: runs of so many, which lie anywhere."""

    def __init__(self, space: PageMap, run: int) -> None:
        super().__init__(space, "4k", "4k", forgetful=True)
        self.run = run

    def frame(self, va: int, level: int) -> int:
        if level or self.run == 1:
            return super().frame(va, level)
        runs = (1 << self.space.guest_bits) // self.run
        page = va // PAGE
        return page // self.run * 0x9E3779B1 % runs * self.run + page % self.run


def frames(machine: Machine, space: PageMap, pages: range) -> list[int]:
    m = state(machine, space)
    return [nested.guest_frame(m.pages, page * PAGE, 0) for page in pages]


@pytest.mark.parametrize("run", RUNS)
def test_neighbours_stay_neighbours_within_a_run(run: int) -> None:
    """Each run is a stretch of frames of its own, in order, at a multiple of its length; the next one is elsewhere."""
    machine = virtual(tlb__guest_run=run)
    space = laid(machine, 16 * MIB, pages="4k")
    got = np.array(frames(machine, space, range(4096)))
    twin = InRuns(space, run)
    assert got.tolist() == [twin.frame(page * PAGE, 0) for page in range(4096)]
    assert len(set(got.tolist())) == 4096
    runs = got.reshape(-1, run)
    assert (runs == runs[:, :1] + np.arange(run)).all()
    if run > 1:
        assert (runs[:, 0] % run == 0).all()
    assert (np.diff(runs[:, 0]) != run).all(), "no longer than it is"
    assert ((got >= 0) & (got < 1 << space.guest_bits)).all(), "the lower half of the guest's memory"


@pytest.mark.parametrize("run", RUNS)
def test_entries_of_a_walk_through_pages_share_lines(run: int) -> None:
    """A line has eight of the host's entries: as many as a run has, at most, are of pages that follow each other."""
    machine = virtual(tlb__guest_run=run)
    space = laid(machine, 4 * MIB, pages="4k")
    m = state(machine, space)
    pages = range(512)
    lines = {nested.entry_line(m.pages, page * PAGE, 1 << nested.HOST) for page in pages}
    assert len(lines) == len(pages) / min(run, 8)
    for page in pages:  # a page's entry lies in its table, of eight bytes for each frame
        near = page - page % min(run, 8)
        assert nested.entry_line(m.pages, page * PAGE, 8) == nested.entry_line(m.pages, near * PAGE, 8)


@pytest.mark.parametrize("run", [1, 2, 8, 64])
def test_a_walk_reads_each_line_of_the_hosts_tables_once(run: int) -> None:
    """A load of every page, cold, with room for all that is read: the pages' lines, those of the guest's entries, and
    those of the host's for every frame on the way, of which a naive walk says what they are."""
    large = {"l2__size_bytes": 4 * MIB, "l2__ways": 16, "l1d__ways": 1, "l1d__size_bytes": 512}
    machine = virtual(tlb__guest_run=run, l3__size_bytes=8 * MIB, l3__ways=16, **large)
    pages, twin_reads = range(256), set()
    space = laid(machine, 2 * MIB, pages="4k")
    twin = InRuns(space, run)
    for page in pages:
        for whose, level, number in twin.walk(page * PAGE):
            twin_reads.add((whose, level, number >> 9 * (level - 1) >> 3))
    rows = [ld(page * PAGE + page % 64 * 64, dep0=min(page, 1), site=0) for page in pages]
    done = simulated(machine, space, program(rows), length=COLD)
    assert done.counter("dtlb_load_misses.walk_completed") == len(pages)
    assert done.raw.node_read_bytes.sum() == 64 * (len(pages) + len(twin_reads))


@pytest.mark.parametrize("run", [8, 64])
def test_pages_of_two_nodes_are_neighbours_on_the_node_they_are_on(run: int) -> None:
    """Interleaved pages: each has the place it has in its run, on its own node, and none has another's."""
    machine = virtual(tlb__guest_run=run)
    space_ = AddressSpace(machine, 1, pages="4k", placement=Placement("interleave", (0, 1)))
    space_.region("both", 4 * MIB)
    space = space_.finish()
    got = np.array(frames(machine, space, range(1024)))
    node, within = got >> space.guest_bits + 1, got & (2 << space.guest_bits) - 1
    assert (node == np.asarray(space.frame[:1024]) >> space.node_shift - 6).all() and set(node.tolist()) == {0, 1}
    assert (within % run == np.arange(1024) % run).all()
    assert (within.reshape(-1, run) // run == within[::run, None] // run).all()
    assert len(set(got.tolist())) == 1024


@pytest.mark.parametrize("guest", ["2m", "1g"])
def test_large_pages_are_where_they_were(guest: str) -> None:
    machine, plain = virtual(tlb__guest_run=64), virtual()
    space = laid(machine, 8 * MIB, pages=guest)
    assert frames(machine, space, range(2048)) == frames(plain, space, range(2048))


def test_the_key_has_a_meaning_only_with_nested_walks() -> None:
    with pytest.raises(UserError, match=r"--set tlb.guest_run: guest_run has no meaning for native walks"):
        machines.load("teaching-2s", {"tlb.guest_run": 8})
    loaded = machines.load("teaching-2s", {"tlb.walk": "nested", "tlb.guest_run": 8})
    assert machines.from_toml_text(loaded.to_toml()).tlb.guest_run == 8
    assert machines.load("teaching-2s", {"tlb.walk": "nested"}).tlb.guest_run == 1
    assert "guest_run" not in machines.load("teaching-2s").to_toml()


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["tlb.guest_run=8"], "guest_run has no meaning for native walks"),
        *((["tlb.walk=nested", f"tlb.guest_run={bad}"], f"{bad}") for bad in ("3", "0", "1024", "-8", "2.5", "many")),
    ],
)
def test_what_is_no_run_is_told_in_a_line(
    sets: list[str], told: str, cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    words = [word for each in sets for word in ("--set", each)]
    done = cli("run", "teaching-2s", "chase", "size=64k", "accesses=100", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "tlb.guest_run" in done.stderr and told in done.stderr
