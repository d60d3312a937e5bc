"""The address space a program gets: regions of virtual addresses, and the physical frame and node behind every page."""

from typing import NamedTuple

import numpy as np

from numasim.errors import UserError
from numasim.memory.capacity import MachineLike, NodeMemory, size_text
from numasim.memory.frames import FrameSource
from numasim.memory.pages import (
    BLOCK_SHIFT,
    GIANT,
    HUGE,
    PAGE_SHIFT,
    SMALL,
    IntArray,
    NodeArray,
    Tables,
    alignment,
    host_class,
    page_runs,
    parse_pages,
    plan_tables,
)
from numasim.memory.placement import Placement, Policy, turns

MAX_BYTES = 1 << 44
PD_BYTES = 1 << PAGE_SHIFT[GIANT]  # what a page directory maps
MAX_REGIONS = 1 << 14
MAX_SMALL_PAGES = 1 << 26


class Region(NamedTuple):
    """`size_bytes` of the address space from virtual address `base` up; `id` is its place in `PageMap.regions`."""

    name: str
    base: int
    size_bytes: int
    id: int


class PageMap(NamedTuple):
    """Virtual to physical, as int64 arrays. Physical 4 KiB frame f is the physical lines f << 6 .. f << 6 | 63.

    - node_shift: physical line = node << node_shift | line in node.
    - block: by va >> 21: page class (0: 4k, 1: 2m, 2: 1g) | region id << 2 | physical 2 MiB frame << 16 (no frame for
      class 0); -1: unmapped.
    - guest_bits: log2 of the 4 KiB frames that a virtual machine has of a node; 0 where the machine is none.
    - guest: the same as the guest of a virtual machine has it, with its guest-physical frames. Its pages lie on pages
      of the host, which block and frame tell: one that is larger than the host's is in as many pieces, wherever the
      host had room, and a TLB holds the pieces. Of other machines it is block itself.
    - frame: by va >> 12, where the block's class is 0: physical 4 KiB frame, -1 past the region's end; else unused,
      and no longer than the last such block.
    - pt, pd, pdpt: by va >> 21, va >> 30, va >> 39: 4 KiB frame of the page-table page; -1 where there is none (a 2m
      page has no PT, a 1g page no PD). pml4: the root's.
    """

    node_shift: int
    guest_bits: int
    block: IntArray
    guest: IntArray
    frame: IntArray
    pt: IntArray
    pd: IntArray
    pdpt: IntArray
    pml4: int
    regions: list[Region]


class _Run(NamedTuple):
    """Pages of one class in a row: `first` is the first one's address in units of the page, `nodes` their nodes."""

    region: int
    page_class: int
    first: int
    nodes: NodeArray

    def pieces(self, page_class: int) -> "_Run":
        """The same in pages of a smaller class."""
        finer = 9 * (self.page_class - page_class)
        return _Run(self.region, page_class, self.first << finer, np.repeat(self.nodes, 1 << finer))


class _Task(NamedTuple):
    """One of the programs that share the address space: its policy (set_mempolicy), and the node it starts on."""

    placement: Placement
    home_node: int


class _Wish(NamedTuple):
    """How to back a region. `placement`: its own policy (mbind), None if it follows its task's (set_mempolicy).
    `task`: the number of its task."""

    pages: str
    placement: Placement | None
    touch_node: int
    task: int


class AddressSpace:
    """Regions are laid from address 0 up, each aligned to 2 MiB (1 GiB for pages=1g); `finish` backs them with frames.

    machine: what `numasim.machine.load` gives. seed: of the frames' order. pages: `4k 2m 1g thp`, for regions that do
    not say. placement: the task's policy, as numactl sets it; page tables follow it. page_tables: node of all page-
    table pages instead. home_node: node of the thread that touches pages first, for regions that do not say.
    Further programs with policies of their own are `task`s. Raises UserError.
    """

    def __init__(
        self,
        machine: MachineLike,
        seed: int,
        pages: str = "4k",
        placement: Placement | None = None,
        page_tables: int | None = None,
        home_node: int = 0,
    ) -> None:
        self._machine = machine
        self._seed = seed & (1 << 63) - 1
        self._pages = parse_pages(pages)
        self._host = host_class(machine)
        self._given = HUGE if self._host == SMALL and machine.tlb.host_run > 1 else self._host
        most = max(memory.size_bytes for memory in machine.memory.values()) >> PAGE_SHIFT[SMALL]
        self._guest_bits = (most - 1).bit_length() if self._host >= 0 else 0
        self._tasks: list[_Task] = []
        self._page_tables = page_tables
        self._end = 0
        self._small_pages = 0
        self._regions: list[Region] = []
        self._wishes: list[_Wish] = []
        self.task(placement or Placement(), home_node)
        if page_tables is not None:
            NodeMemory(machine).require([page_tables], "--page-tables")

    def task(self, placement: Placement, home_node: int) -> int:
        """Number of a further program, whose memory and page tables follow `placement`; 0 is the space's own.

        Its regions are kept 1 GiB from those of programs that are placed otherwise, so it has PTs and PDs of its own,
        as a process has. The one root and the PDPTs, whose few entries the paging-structure caches hold, lie where
        the first program's lie. Raises UserError.
        """
        turns(placement, home_node, NodeMemory(self._machine))
        self._tasks.append(_Task(placement, home_node))
        return len(self._tasks) - 1

    def region(
        self,
        name: str,
        size_bytes: int,
        pages: str | None = None,
        placement: Placement | None = None,
        touch_node: int | None = None,
        task: int = 0,
    ) -> Region:
        """Adds a region of a task. A placement of its own moves its data only; its page tables follow the task's.

        Its interleaving then starts with its first page; that of the task goes on from region to region.
        Raises UserError for impossible sizes and nodes; whether it fits its nodes is known at `finish`.
        """
        size_bytes = int(size_bytes)
        word = self._pages if pages is None else parse_pages(pages, f"pages of region {name!r}")
        if not 0 < size_bytes <= MAX_BYTES:
            raise UserError(f"size of {size_text(size_bytes)}", f"region {name!r}", f"1 byte to {size_text(MAX_BYTES)}")
        owner = self._tasks[task]
        wish = _Wish(word, placement, owner.home_node if touch_node is None else touch_node, task)
        turns(placement or owner.placement, wish.touch_node, NodeMemory(self._machine))
        step = alignment(word)
        apart = self._wishes and self._tasks[self._wishes[-1].task] != owner
        begin = max(step, PD_BYTES) if apart else step
        base = -(-self._end // begin) * begin
        end = base + -(-size_bytes // step) * step
        if end > MAX_BYTES or len(self._regions) == MAX_REGIONS:
            limits = f"at most {size_text(MAX_BYTES)} and {MAX_REGIONS} regions in all"
            raise UserError("the address space is full", f"region {name!r}", limits)
        self._small_pages += sum(
            count << 9 * of_class for of_class, count in page_runs(word, size_bytes) if SMALL in (of_class, self._host)
        )
        if self._small_pages > MAX_SMALL_PAGES:
            limit = f"at most {MAX_SMALL_PAGES}; use pages=2m or 1g"
            raise UserError(f"{self._small_pages} pages of 4 KiB in all", f"region {name!r}", limit)
        self._end = end
        self._regions.append(Region(name, base, size_bytes, len(self._regions)))
        self._wishes.append(wish)
        return self._regions[-1]

    def finish(self) -> PageMap:
        """Gives every page its node and frame. Raises UserError if nodes are too small, or there is no region."""
        if not self._regions:
            raise UserError("no region", "address space", "a workload that uses memory")
        memory = NodeMemory(self._machine)
        policies = [Policy(task.placement, memory) for task in self._tasks]
        blocks = self._end >> BLOCK_SHIFT
        block_class, table_node = np.full(blocks, -1, np.int16), np.full(blocks, -1, np.int16)
        runs: list[_Run] = []
        for region, wish in zip(self._regions, self._wishes, strict=True):
            task = policies[wish.task]
            mine = _place(region, wish, task, memory)
            for run in mine:
                _mark(run, block_class, table_node)
            if wish.placement is not None:
                span = slice(region.base >> BLOCK_SHIFT, (region.base + region.size_bytes - 1 >> BLOCK_SHIFT) + 1)
                table_node[span] = task.tables(span.stop - span.start, wish.touch_node)
            runs += mine
        root = policies[0].tables(1, self._tasks[0].home_node)
        if self._page_tables is not None:
            table_node[:], root[:] = self._page_tables, self._page_tables
        tables = plan_tables(block_class, table_node)
        settled = _settle(np.concatenate([tables.pt_node, tables.pd_node, tables.pdpt_node, root]), memory)
        return self._map(runs, block_class, tables, settled)

    def _map(self, runs: list[_Run], block_class: NodeArray, tables: Tables, table_nodes: NodeArray) -> PageMap:
        """Hands out the frames. `table_nodes`: of the PTs, PDs, PDPTs and the root, in this order."""
        pieces = [run.pieces(self._given) for run in runs if 0 <= self._host < run.page_class]
        source = FrameSource(_count([*runs, *pieces], table_nodes), self._seed, self._guest_bits)
        guest = np.full(len(block_class), -1, np.int64)
        small = np.flatnonzero(block_class == SMALL if self._host != SMALL else block_class >= SMALL)
        # zeros, not full: a huge region before a small one leaves memory of the host untouched
        frame = np.zeros((int(small[-1]) + 1) << 9 if len(small) else 0, np.int64)
        frame.reshape(-1, 512)[small] = -1
        for run in runs:
            _enter(run, source.take(run.page_class, run.nodes), guest, frame)
        block = guest.copy() if pieces else guest
        for run in pieces:
            frames = source.take(run.page_class, run.nodes)
            if run.page_class != self._host:
                run, frames = run.pieces(self._host), (frames[:, None] << 9 | np.arange(512)).ravel()
            _enter(run, frames, block, frame)
        levels = []
        pages = source.take(SMALL, table_nodes)
        for index, shift in ((tables.pt, 0), (tables.pd, 9), (tables.pdpt, 18)):
            level = np.full((len(block) - 1 >> shift) + 1, -1, np.int64)
            level[index], pages = pages[: len(index)], pages[len(index) :]
            levels.append(level)
        pt, pd, pdpt = levels
        return PageMap(
            source.node_shift, self._guest_bits, block, guest, frame, pt, pd, pdpt, int(pages[0]), list(self._regions)
        )


def _place(region: Region, wish: _Wish, task: Policy, memory: NodeMemory) -> list[_Run]:
    """The pages of a region with their nodes, in the order of first touch."""
    policy = task if wish.placement is None else Policy(wish.placement, memory)
    runs, address = [], region.base
    for page_class, count in page_runs(wish.pages, region.size_bytes):
        shift = PAGE_SHIFT[page_class]
        nodes = policy.place(region.name, page_class, count, wish.touch_node)
        runs.append(_Run(region.id, page_class, address >> shift, nodes))
        address += count << shift
    return runs


def _enter(run: _Run, frames: IntArray, block: IntArray, frame: IntArray) -> None:
    """Writes the frames of a run into a page map's arrays."""
    first, stop = run.first, run.first + len(frames)
    owner = run.page_class | run.region << 2
    if run.page_class == SMALL:
        frame[first:stop] = frames
        block[first >> 9 : (stop + 511) >> 9] = owner
    elif run.page_class == HUGE:
        block[first:stop] = frames << 16 | owner
    else:
        parts = frames[:, None] << 9 | np.arange(512)
        block[first << 9 : stop << 9] = parts.ravel() << 16 | owner


def _mark(run: _Run, block_class: NodeArray, block_node: NodeArray) -> None:
    """Notes the class of the blocks of a run, and the node of each block's first page."""
    if run.page_class == SMALL:
        first, nodes = run.first >> 9, run.nodes[::512]
    elif run.page_class == HUGE:
        first, nodes = run.first, run.nodes
    else:
        first, nodes = run.first << 9, np.repeat(run.nodes, 512)
    block_class[first : first + len(nodes)] = run.page_class
    block_node[first : first + len(nodes)] = nodes


def _settle(wanted: NodeArray, memory: NodeMemory) -> NodeArray:
    """Nodes of the page-table pages: the wanted one, or the nearest to it with room, whatever the policy says."""
    out = wanted.copy()
    for node in np.unique(wanted).tolist():
        mine = wanted == node
        count = int(np.count_nonzero(mine))
        nodes, placed = memory.spread([memory.nearest_first(node)], np.zeros(1, np.int64), 0, count, 4096)
        if placed < count:
            raise UserError("no memory left for page tables", "memory", "a smaller workload or larger pages")
        out[mine] = nodes
    return out


def _count(runs: list[_Run], table_nodes: NodeArray) -> dict[int, tuple[int, int, int]]:
    """Number of 4k, 2m and 1g frames wanted of each node."""
    wanted = [(SMALL, table_nodes)] + [(run.page_class, run.nodes) for run in runs]
    counts: dict[int, list[int]] = {}
    for page_class, nodes in wanted:
        for node in np.unique(nodes).tolist():
            counts.setdefault(node, [0, 0, 0])[page_class] += int(np.count_nonzero(nodes == node))
    return {node: (three[SMALL], three[HUGE], three[GIANT]) for node, three in sorted(counts.items())}
