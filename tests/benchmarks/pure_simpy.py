"""The same path as simulated by numasim, written as one would with simpy alone: the speed of the obvious way.

A process a core walks a dependent chain; a simpy.Resource stands where requests can queue: the links, the banks and
the data bus of each DRAM channel. Caches and TLBs are dicts in order of last use. Time is in integer picoseconds. A
core hits its private caches without an event (waiting would change nothing there) and steps back into simpy's time
before it touches what others see. Left out against numasim: coherence, stores, the reorder window, FR-FCFS, stacks.
"""

import time
from collections import defaultdict
from collections.abc import Generator, Iterable
from typing import Any, NamedTuple

import simpy

from benchmarks.cases import CASES, KIB, LINE_BYTES, MIB, Case, addresses

Process = Generator[simpy.Event, Any, None]

# icx-8360y-2s in ps: load-to-use of L1 and L2 at 3.1 GHz, mesh one way, L3, controller, link one way, DDR4-3200
L1_PS, L2_PS, STLB_PS, MESH_PS, L3_PS, CONTROLLER_PS, WIRE_PS = 1613, 4516, 2258, 6000, 5500, 35000, 24000
CAS_PS, RCD_PS, RP_PS, BURST_PS, IDLE_CLOSE_PS = 13750, 13750, 13750, 2500, 500_000
REFRESH_PS, REFRESH_EVERY_PS = 350_000, 7_800_000
REQUEST_PS, DATA_PS = 714, 3438  # 16 and 77 bytes over a link of 22.4 GB/s
CHANNELS, BANKS, ROW_LINES, LINKS = 8, 32, 128, 3
WARM_LINES = 200_000  # a lap longer than that finds no cache warm in any case
CORES_A_SOCKET, NODE_BIT = 36, 40  # bit of an address that names its node


class Lru:
    """A set-associative cache of tags; a set is a dict, whose order is that of last use."""

    def __init__(self, entries: int, ways: int) -> None:
        self.ways, self.count = ways, entries // ways
        self.sets: list[dict[int, None]] = [{} for _ in range(self.count)]

    def hit(self, tag: int) -> bool:
        """Is it there? Then it is the last used."""
        one = self.sets[tag % self.count]
        if tag not in one:
            return False
        del one[tag]
        one[tag] = None
        return True

    def fill(self, tag: int) -> int:
        """Put it in; returns what had to go, or -1."""
        one = self.sets[tag % self.count]
        gone = -1
        if len(one) >= self.ways:
            gone = next(iter(one))
            del one[gone]
        one[tag] = None
        return gone

    def take(self, tag: int) -> bool:
        """Take it out, if it is there."""
        return self.sets[tag % self.count].pop(tag, 0) is None


class Bank:
    """A DRAM bank: whose turn it is, the row that is open, and since when nobody used it."""

    def __init__(self, env: simpy.Environment) -> None:
        self.turn = simpy.Resource(env)
        self.row, self.used = -1, 0

    def access_ps(self, row: int, now: int) -> int:
        """How long a column of that row takes: refreshed, idle and fresh banks have no row open."""
        into = now % REFRESH_EVERY_PS
        refresh = max(0, REFRESH_PS - into)
        closed = self.row < 0 or now - self.used > IDLE_CLOSE_PS or self.used < now - into
        took = refresh + CAS_PS + (RCD_PS if closed else 0 if self.row == row else RP_PS + RCD_PS)
        self.row, self.used = row, now + took
        return took


class Socket:
    """What the cores of a socket share: L3, the links away from it, the channels of its node."""

    def __init__(self, env: simpy.Environment) -> None:
        self.l3 = Lru(54 * MIB // LINE_BYTES, 12)
        self.links = [simpy.Resource(env) for _ in range(LINKS)]
        self.buses = [simpy.Resource(env) for _ in range(CHANNELS)]
        self.banks = [[Bank(env) for _ in range(BANKS)] for _ in range(CHANNELS)]


class Core:
    """A core, its caches and TLBs, walking its chain."""

    def __init__(self, env: simpy.Environment, sockets: list[Socket], number: int, pages: str) -> None:
        self.env, self.sockets, self.home = env, sockets, number // CORES_A_SOCKET
        self.l1, self.l2 = Lru(48 * KIB // LINE_BYTES, 12), Lru(1280 * KIB // LINE_BYTES, 20)
        self.page_shift = 12 if pages == "4k" else 21
        self.dtlb, self.stlb = Lru(64 if pages == "4k" else 32, 4), Lru(2048, 16)
        self.ahead = 0  # ps this core is ahead of simpy's time
        self.histogram: dict[int, int] = defaultdict(int)
        self.total_ps = 0

    def walk_chain(self, trace: Iterable[int]) -> Process:
        """Each access once the one before has its data."""
        env, dtlb, l1, histogram, shift = self.env, self.dtlb, self.l1, self.histogram, self.page_shift
        for address in trace:
            begin = env.now + self.ahead
            if not dtlb.hit(address >> shift):
                yield from self.translate(address >> shift)
            if l1.hit(address >> 6):
                self.ahead += L1_PS
            else:
                yield from self.miss(address >> 6)
            latency = env.now + self.ahead - begin
            histogram[latency.bit_length()] += 1
            self.total_ps += latency

    def translate(self, page: int) -> Process:
        """From the second TLB, or by a walk that loads the entry's line through the caches."""
        self.ahead += STLB_PS
        if not self.stlb.hit(page):
            line = (1 << NODE_BIT + 1 | page * 8) >> 6
            if self.l1.hit(line):
                self.ahead += L1_PS
            else:
                yield from self.miss(line)
            self.stlb.fill(page)
        self.dtlb.fill(page)

    def miss(self, line: int) -> Process:
        """A line that is not in L1, from wherever it is."""
        self.ahead += L2_PS
        if not self.l2.hit(line):
            yield self.env.timeout(self.ahead + MESH_PS)
            self.ahead = 0
            l3 = self.sockets[self.home].l3
            if l3.take(line):
                self.ahead = L3_PS + MESH_PS
            else:
                yield from self.fetch(line)
            victim = self.l2.fill(line)
            if victim >= 0:
                l3.fill(victim)
        self.l1.fill(line)

    def fetch(self, line: int) -> Process:
        """From the memory of the line's node, over a link if that is the other socket's."""
        env, node = self.env, line >> NODE_BIT - 6 & 1
        link = line % LINKS
        if node == self.home:
            yield env.timeout(L3_PS + CONTROLLER_PS)
            yield from self.dram(self.sockets[node], line)
        else:
            yield env.timeout(L3_PS)
            yield from self.send(self.sockets[self.home].links[link], REQUEST_PS)
            yield env.timeout(WIRE_PS + CONTROLLER_PS)
            yield from self.dram(self.sockets[node], line)
            yield from self.send(self.sockets[node].links[link], DATA_PS)
            self.ahead += WIRE_PS
        self.ahead += MESH_PS

    def send(self, link: simpy.Resource, busy_ps: int) -> Process:
        """Hold the link for the length of a message."""
        with link.request() as turn:
            yield turn
            yield self.env.timeout(busy_ps)

    def dram(self, socket: Socket, line: int) -> Process:
        """A bank opens the row if another is open, then the channel's bus carries the line."""
        env, mixed = self.env, line * 0x9E3779B1 >> 8
        channel, row = mixed % CHANNELS, line // ROW_LINES
        bank = socket.banks[channel][mixed // CHANNELS % BANKS]
        with bank.turn.request() as turn:
            yield turn
            yield env.timeout(bank.access_ps(row, env.now))
            with socket.buses[channel].request() as bus:
                yield bus
                yield env.timeout(BURST_PS)


class Outcome(NamedTuple):
    """Accesses a CPU second, and the mean latency it found."""

    rate: float
    mean_ns: float


def simulate(case: Case, accesses: int, remote: bool = False) -> Outcome:
    """So many accesses in all, each core on its own node's memory or the other's, after a warm-up of up to a lap."""
    env = simpy.Environment()
    sockets = [Socket(env), Socket(env)]
    cores = [Core(env, sockets, number, case.pages) for number in range(case.cores)]
    each = accesses // case.cores
    warm = case.lines if case.lines <= WARM_LINES else each
    traces = []
    for number, core in enumerate(cores):
        base = (core.home ^ remote) << NODE_BIT | number << 32
        trace = [base + address for address in addresses(case, warm + each, seed=number + 1)]
        env.process(core.walk_chain(trace[:warm]))
        traces.append(trace[warm:])
    env.run()
    for core, trace in zip(cores, traces, strict=True):
        core.total_ps = 0
        env.process(core.walk_chain(trace))
    begin = time.process_time()
    env.run()
    took = time.process_time() - begin
    return Outcome(each * case.cores / took, sum(core.total_ps for core in cores) / each / case.cores / 1000)


def accesses_for(case: Case) -> int:
    """About a second's worth."""
    return 1_000_000 if case.size_bytes < MIB else 60_000


if __name__ == "__main__":
    for each in CASES:
        found = simulate(each, accesses_for(each))
        print(f"{each.name:20} {found.rate / 1e6:8.3f} M accesses a CPU second, {found.mean_ns:6.1f} ns")
