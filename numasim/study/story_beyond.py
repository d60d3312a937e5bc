"""The story of a watched access beyond its core: L3, directory, links, memory (story.py has the rest)."""

from typing import Any, NamedTuple

from numasim.engine import arrival, compiled, directory, dram, fills, links, locks, path, slots, writes
from numasim.engine.dram import BANK, BUSY, CHAN, FIRST_BANK, QUEUED, ROW
from numasim.engine.slots import AT_CORE, AT_LINK, AT_MEMORY, AT_TRACKER
from numasim.engine.state import (
    C_COH,
    C_FABRIC,
    C_L1,
    C_L3,
    C_LINK,
    C_LINK_WAIT,
    C_LOCK,
    C_MEM,
    C_MEM_WAIT,
    C_REFRESH,
    C_TLB,
    K_ORIGIN,
    SLOT_SHIFT,
)
from numasim.traces.records import ATOMIC, LOCK, STORE, UNLOCK

WRITE = -2  # in place of a slot: a posted write
KINDS = {STORE: "store", ATOMIC: "atomic", LOCK: "lock", UNLOCK: "unlock"}


class Step(NamedTuple):
    """Time of an access: its cause (state.CAUSES) and what happened."""

    ps: int
    cause: int
    what: str


class Beyond:
    """What a slot meets beyond its core. `a`: the watched access's slot, once it has one."""

    m: Any

    def __init__(self, thread: int, vertices: list[str]) -> None:
        self.thread, self._vertices = thread, vertices
        self.record = self.a = -1
        self.steps: list[Step] = []
        self.stack: dict[int, int] = {}
        self.done = self.quiet = False
        self.joined = ""
        self._actor = -1
        self._where = ""  # the function that handles the watched slot now
        self._texts: dict[tuple[str, int], str] = {}  # by function and cause, what is known of the time it will charge
        self._later: list[Step] = []  # charged, but spent after the hops to come
        self._writing = False
        self._sent: dict[int, list[tuple[int, str]]] = {}  # by lane: when messages had left, and whose they were
        self._turned: dict[int, str] = {}  # by bank: who had its row opened
        self._passed: dict[int, str] = {}  # by channel: whose data passed the bus last
        self._preparing = -1

    def begin(self, m: Any, record: int) -> None:
        """The state to look at, and the number of the access's record."""
        self.m, self.record = m, record

    def origin(self) -> int:
        """When counting began."""
        return int(self.m.control[K_ORIGIN])

    def beyond(self) -> dict[Any, Any]:
        """By function of the engine, what is called in its place."""
        own = (path.step, path.look_up_l3, path.to_memory, path.head_home, slots.leave_core, arrival.locked)
        return dict.fromkeys(own, self.within) | {
            compiled.act: self.act,
            dram.charge: self.charge,
            directory.ask: self.ask,
            path.at_directory: self.at_directory,
            path.over_link: self.over_link,
            links.send: self.send,
            fills.write_back: self.write_back,
            dram.arrive: self.arrive_at_memory,
            dram.prepare: self.prepare,
            dram.open_row: self.open_row,
            dram.activate: self.activate,
            dram.pass_data: self.pass_data,
            writes.hold: self.hold,
            writes.pass_all: self.pass_all,
            arrival.arrive: self.arrive,
            locks.take_lock: self.take_lock,
            dram.by_curve: self.by_curve,
        }

    # ---- steps ---------------------------------------------------------------------------------------------------

    def tell(self, cause: int, ps: int, what: str) -> None:
        """A step, if it took time."""
        if ps:
            self.steps.append(Step(ps, cause, what))

    def note(self, what: str) -> None:
        """What took no time of its own."""
        self.steps.append(Step(0, -1, what))

    def describe(self, a: int) -> str:
        """Whose a slot is."""
        if a == WRITE or self._writing:
            return "a line written back"
        if a < 0 or a >= self.m.fronts:
            return "another request"
        s, i = self.m.slot, a << SLOT_SHIFT
        whose = "this thread" if s.thread[i] == self.thread else f"thread {s.thread[i]}"
        if s.demand[i] == 0 or s.buffer[i] == 0:
            return f"a prefetch of {whose}"
        if s.level[i]:
            return f"a page walk of {whose}"
        kind = KINDS.get(s.kind[i], "load")
        return f"{'an' if kind in ('atomic', 'unlock') else 'a'} {kind} of {whose}"

    def charge(self, function: Any, s: Any, a: int, cause: int, dt: int) -> None:
        """The engine hands time to a cause."""
        function(s, a, cause, dt)
        if a == self.a and dt and not (self.quiet or self.done):
            walk = s.level[a << SLOT_SHIFT] > 0
            where = self._where if self._of_watched else ""
            what = self._texts.get((where, cause)) or self._texts.get(("", cause)) or PLAIN.get(cause, "")
            step = Step(dt, C_TLB if walk else cause, f"page walk: {what}" if walk else what)
            (self._later if where == "to_memory" and self._is_remote else self.steps).append(step)

    _of_watched = _is_remote = False

    def _in(self, where: str, watched: bool, function: Any, *rest: Any) -> Any:
        before = self._where, self._of_watched
        self._where, self._of_watched = where, watched
        try:
            return function(*rest)
        finally:
            self._where, self._of_watched = before

    def act(self, function: Any, m: Any, tree: Any, a: int, *rest: int) -> Any:
        """An actor acts."""
        self._actor = a
        return function(m, tree, a, *rest)

    def within(self, function: Any, m: Any, a: int, *rest: Any) -> Any:
        """Functions whose time has one meaning each."""
        name = function.__name__
        if a == self.a:
            if name == "leave_core":
                self.quiet = False
            self._name_places(m, a)
        found = self._in(name, a == self.a, function, m, a, *rest)
        if a == self.a and name == "look_up_l3":
            said = "has the line" if m.slot.stage[a << SLOT_SHIFT] == AT_CORE else "misses"
            k = max(k for k, step in enumerate(self.steps) if step.what.endswith(LOOKED_UP))
            self.steps[k] = self.steps[k]._replace(what=self.steps[k].what.replace(LOOKED_UP, said))
        return found

    def _name_places(self, m: Any, a: int) -> None:
        s, i = m.slot, a << SLOT_SHIFT
        domain, node = m.core.domain[a >> m.core.slot_bits], s.line[i] >> m.pages.node_shift
        self._is_remote = m.core.vertex[a >> m.core.slot_bits] != m.dram.vertex[node]
        self._texts |= {
            ("leave_core", C_FABRIC): "over the mesh to the L3",
            ("step", C_L3): f"the L3 of domain {domain} {LOOKED_UP}",
            ("look_up_l3", C_FABRIC): "over the mesh to the core",
            ("to_memory", C_FABRIC): f"the memory controller of node {node}",
            ("head_home", C_FABRIC): "over the mesh to the core",
            ("locked", C_L1): "the atomic operation itself",
            ("", C_LINK_WAIT): f"waits: all {m.p.trackers} requests that its node may have under way to others are",
        }

    def arrive(self, function: Any, m: Any, a: int, now: int) -> bool:
        """A line reaches a core."""
        from_afar = a == self.a and m.slot.stage[a << SLOT_SHIFT] == AT_CORE
        walk = m.slot.level[a << SLOT_SHIFT] > 0
        goes_on: bool = function(m, a, now)
        if from_afar and not self.done:
            self.note("page walk: the entry has come" if walk else "the line enters L1 and L2")
        return goes_on

    # ---- coherence and locks -------------------------------------------------------------------------------------

    def at_directory(self, function: Any, m: Any, a: int, now: int) -> Any:
        """A request reaches the directory."""
        if a != self.a:
            return function(m, a, now)
        s, i = m.slot, a << SLOT_SHIFT
        holder = (m.dir.state[s.line[i]] >> directory.BUSY & directory.FIELD) - 1
        if holder >= 0:
            who = self.describe(holder)
            self._texts["", C_COH] = f"the line is on its way to another core, for {who}: waits its turn"
        at = len(self.steps)
        when: int = self._in("at_directory", True, function, m, a, now)
        if AT_TRACKER <= s.stage[i] <= AT_LINK and s.then[i] != AT_MEMORY:
            charged = [k for k in range(at, len(self.steps)) if self.steps[k].cause == C_COH]
            for k in charged[1 if s.bank[i] else 0 :]:
                self.steps[k] = self.steps[k]._replace(what="the directory is read in the memory of the line's home")
            if s.bank[i]:  # the snoop comes after the hops
                self._later.append(self.steps.pop(charged[0]))
        return when

    def ask(self, function: Any, *rest: Any) -> Any:
        """The directory tells who gives the line."""
        found = function(*rest)
        giver, domain, _, killed, _ = found
        if self._of_watched:
            gone = f"; {killed} cop{'ies are' if killed > 1 else 'y is'} invalidated" if killed else ""
            if giver == directory.MEMORY:
                self.note(f"the directory: no other cache has to give the line{gone}")
            else:
                had = "modified" if giver == directory.CORE_DIRTY else "clean"
                place = f"the L3 of domain {domain}" if giver == directory.CACHE else f"a core of domain {domain}"
                self.note(f"the directory: {place} gives the line{gone}")
                self._texts["at_directory", C_COH] = f"snoop: {place} has it {had}"
                self._texts["at_directory", C_FABRIC] = "over the mesh to the core"
        return found

    def take_lock(self, function: Any, sync: Any, nxt: Any, a: int, t: int, va: int) -> bool:
        """Somebody has a lock's line."""
        got: bool = function(sync, nxt, a, t, va)
        if a == self.a:
            holder = sync.holder[locks.lock_of(sync, va)] - 1
            self.note("the lock is free: taken" if got else f"thread {holder} holds the lock")
            self._texts["", C_LOCK] = f"waits for the lock, which thread {holder} had"
        return got

    # ---- links ---------------------------------------------------------------------------------------------------

    def over_link(self, function: Any, m: Any, a: int, now: int) -> Any:
        """A hop."""
        if a != self.a:
            return function(m, a, now)
        s, i = m.slot, a << SLOT_SHIFT
        to, then = s.to[i], s.then[i]
        self._texts["over_link", C_FABRIC] = (
            "over the mesh to the core" if then == AT_CORE else f"the home agent of {self._vertices[to]}"
        )
        self._texts["over_link", C_COH] = "the home waits for snoops before its memory answers another domain"
        when: int = self._in("over_link", True, function, m, a, now)
        if s.stage[i] != AT_LINK:
            self.steps += self._later
            self._later = []
        return when

    def send(self, function: Any, net: Any, control: Any, edge: int, line: int, data: int, now: int) -> Any:
        """A message over an edge."""
        lane = links.lane_of(net, edge, line)
        ahead = [(sent, who) for sent, who in self._sent.get(lane, []) if sent > now]
        start, sent = function(net, control, edge, line, data, now)
        if self._where == "over_link" and self._of_watched:
            source = self._vertices[self.m.slot.vertex[self.a << SLOT_SHIFT]]
            hop = f"link {source} -> {self._vertices[net.target[edge]]}"
            n = len(ahead)
            last = f"{n} message{'s' if n > 1 else ''} ahead, the last for {ahead[-1][1]}" if n else "messages ahead"
            self._texts["over_link", C_LINK_WAIT] = f"{hop}: waits for {last}"
            what = "the line" if data else "the request"
            took = f"{(sent - start) / 1000:.1f} ns to send, {net.latency[edge] / 1000:.1f} ns on the way"
            self._texts["over_link", C_LINK] = f"{hop}: {what}, {took}"
        self._sent[lane] = [*ahead, (sent, self.describe(self._actor))]
        return start, sent

    def write_back(self, function: Any, *rest: Any) -> None:
        """A dirty line leaves for memory."""
        self._writing = True
        function(*rest)
        self._writing = False

    # ---- memory --------------------------------------------------------------------------------------------------

    def arrive_at_memory(self, function: Any, d: Any, s: Any, a: int, node: int, line: int, now: int) -> Any:
        """A request reaches its channel."""
        if a != self.a:
            return function(d, s, a, node, line, now)
        ch, b, row = dram.place(d, node, line)
        c, holder = ch << CHAN, d.bank[(b << BANK) + BUSY]
        bank, number = b - d.chan[c + FIRST_BANK], ch - d.first[node]
        self.note(f"node {node}, channel {number}, bank {bank}, row {row}; {d.chan[c + QUEUED]} reads are in its queue")
        who = f"{self.describe(WRITE if holder >= writes.WRITER else holder)}" if holder >= 0 else "the transfer before"
        self._texts["", C_MEM_WAIT] = f"waits for bank {bank}, which is busy with {who}"
        rank, _ = dram.rank_and_group(d, ch, node, b)
        self._texts["prepare", C_REFRESH] = f"rank {rank} of channel {number} is being refreshed"
        return self._in("arrive", True, function, d, s, a, node, line, now)

    def prepare(self, function: Any, d: Any, s: Any, ch: int, node: int, b: int, a: int, row: int, now: int) -> Any:
        """A bank turns to a request."""
        before, self._preparing = self._preparing, a
        ready: int = self._in("prepare", a == self.a, function, d, s, ch, node, b, a, row, now)
        self._preparing = before
        return ready

    def hold(self, function: Any, *rest: Any) -> bool:
        """A bank turns to a write."""
        before, self._preparing = self._preparing, WRITE
        held: bool = function(*rest)
        self._preparing = before
        return held

    _precharged, _activated = False, False

    def open_row(self, function: Any, d: Any, ch: int, node: int, rank: int, b: int, row: int, t: int) -> Any:
        """A bank's row is opened, if it is not open."""
        was, self._activated, self._turning_at = d.bank[(b << BANK) + ROW], False, t
        ready: int = function(d, ch, node, rank, b, row, t)
        bank = b - d.chan[(ch << CHAN) + FIRST_BANK]
        if self._preparing == self.a >= 0:
            by = f", for {self._turned[b]}" if b in self._turned else ""
            if not self._activated:
                self._texts["pass_data", C_MEM] = f"row hit: row {row} is open{by}; column access and burst"
            else:
                self._texts["pass_data", C_MEM] = "column access and burst"
                closed = f"row conflict: row {was} of bank {bank} is open{by}; it is closed, row {row} opened"
                opened = f"bank {bank} has no open row: row {row} is opened"
                self._texts["prepare", C_MEM] = closed if self._precharged else opened
        self._turned[b] = self.describe(self._preparing)
        return ready

    _turning_at = 0

    def activate(self, function: Any, d: Any, ch: int, node: int, rank: int, t: int) -> Any:
        """A rank opens a row."""
        self._activated, self._precharged = True, t > self._turning_at
        return function(d, ch, node, rank, t)

    def pass_data(self, function: Any, d: Any, s: Any, control: Any, net: Any, a: int, *rest: int) -> Any:
        """Data passes a channel's bus."""
        ch = s.source[a << SLOT_SHIFT]
        if a == self.a:
            before = f": {self._passed[ch]} before it" if ch in self._passed else ""
            self._texts["pass_data", C_MEM_WAIT] = f"waits for the channel's data bus{before}"
            self._texts["pass_data", C_REFRESH] = "a refresh came before the bus was free; then the row is opened again"
        found = self._in("pass_data", a == self.a, function, d, s, control, net, a, *rest)
        self._passed[ch] = self.describe(a)
        return found

    def pass_all(self, function: Any, *rest: Any) -> Any:
        """A batch of writes passes a channel's bus."""
        n: int = function(*rest)
        self._passed[rest[-2]] = f"{n} writes"
        return n

    def by_curve(self, function: Any, *rest: Any) -> Any:
        """A memory that is a measured curve."""
        a, node = rest[4], rest[5]
        self._texts["by_curve", C_MEM] = f"node {node}: its latency when idle, by its curve"
        self._texts["by_curve", C_MEM_WAIT] = f"node {node}: what the load on it adds, by its curve"
        return self._in("by_curve", a == self.a, function, *rest)


LOOKED_UP = "is looked up"
PLAIN = {
    C_COH: "coherence",
    C_LOCK: "waits for the lock",
    C_MEM_WAIT: "waits for its bank",
    C_FABRIC: "on the die",
}
