"""The story of one watched access: what each component did for it, with the time that took, in words.

Steps are told where the engine hands time to causes, so they add up to the access's stack. Its own core is told here,
what lies beyond in story_beyond.py.
"""

from typing import Any

from numasim.engine import access, arrival, chains, core, joins, look, nested, requests, stacks, wrong_path
from numasim.engine.cache import EXCLUSIVE, touch
from numasim.engine.coming import hit_coming
from numasim.engine.fills import bring
from numasim.engine.ops import MET
from numasim.engine.packed import ADDRESS, CLASS, CLASS_MASK, DEPS, KIND, KIND_MASK, LAGS
from numasim.engine.state import C_L1, C_L2, C_OS, C_SPLIT, C_TLB, COUNT, NOBODY, SLOT_SHIFT, WIN_SHIFT
from numasim.engine.window import entry_of
from numasim.study.story_beyond import Beyond
from numasim.traces.records import STORE

TABLES = ("page", "page table", "page directory", "PDPT", "PML4")  # what the entry of a level of the page walk is in


class Story(Beyond):
    """An observer (watch.py) of an access of a thread.

    vertices: names of the fabric's. When `done`: steps; stack (ps by cause); known_ps: when its address was known,
    since counting began; back: which record before it its address waited for, 0 for none; kind, address, klass.
    """

    def __init__(self, thread: int, vertices: list[str]) -> None:
        super().__init__(thread, vertices)
        self.x = -1
        self.known_ps = self.back = self.kind = self.address = self.klass = 0
        self._mine = self._looking = False
        self._looks: list[tuple[str, int, bool]] = []
        self._inside: list[tuple[int, int, str]] = []  # steps in the core that are not told yet
        self._waited = ""

    def wrappers(self) -> dict[Any, Any]:
        """By function of the engine, what is called in its place."""
        return self.beyond() | {
            core.enter: self.enter,
            chains.links: lambda function, m, t, core, a, now, *rest: (0, now),  # the long way tells the same
            access.execute: self.execute,
            access.until_miss: self.until_miss,
            joins.join: self.join,
            access.hit_l1: self.hit_l1,
            hit_coming: self.hit_coming,
            look.look_further: self.look_further,
            requests.ask_l1: self.unasked,
            wrong_path.load: self.unasked,
            access.hit_l2: self.hit_l2,
            access.slot_for: self.slot_for,
            access.go_on: self.go_on,
            touch: self.touch,
            bring: self.bring,
            nested.begin: self.noted("walk"),
            nested.go_on: self.noted("walked"),
            nested.asked: self.noted("asked"),
            stacks.account: self.account,
            stacks.account_private: self.account_private,
            stacks.account_joined: self.account_joined,
            arrival.complete_joined: self.complete_joined,
        }

    # ---- the window ----------------------------------------------------------------------------------------------

    def enter(self, function: Any, m: Any, t: int, i: int, x: int, word0: int, word1: int, now: int) -> None:
        """A record enters the window: is it the one?"""
        function(m, t, i, x, word0, word1, now)
        if (t, i) == (self.thread, self.record):
            self.x = x
            self.kind, self.address = word0 >> KIND & KIND_MASK, word0 & ADDRESS
            self.klass = word0 >> CLASS & CLASS_MASK

    def execute(self, function: Any, m: Any, t: int, x: int, a: int, now: int) -> Any:
        """A record executes, or a slot goes on in its core."""
        self._mine = a == self.a if a >= 0 else x == self.x
        try:
            return function(m, t, x, a, now)
        finally:
            self._mine = False

    def until_miss(self, function: Any, m: Any, t: int, core: int, x: int, now: int) -> Any:
        """As far as L1, and as far as buffers allow."""
        if self._mine:
            at = m.win.at[x << WIN_SHIFT]
            self.known_ps, self.back = at - self.origin(), self._needed(m, t, x, at)
        found = function(m, t, core, x, now)
        if self._mine and found[0] == -1 and not self._waited:
            split = found[3] == C_SPLIT
            self._waited = (
                "it lies across two lines: the second is fetched first"
                if split
                else f"all {m.p.fills} fill buffers of the core are taken: waits for one"
            )
        return found

    def _needed(self, m: Any, t: int, x: int, at: int) -> Any:
        """How many records back the load is whose value came last; 0 if the address was known all the time."""
        f, w = m.front, m.win
        word1, i = w.word1[x << WIN_SHIFT], w.number[x << WIN_SHIFT]
        for k in range(3):
            d, lag = word1 >> DEPS + 8 * k & 255, (word1 >> LAGS + 7 * k & 127) * m.p.cycle
            y = entry_of(f, t, i - d)
            if d and (y == x or w.comp[y << WIN_SHIFT] + lag == at):  # y == x: a plain chain, one entry for all
                return d
        return 0

    def join(self, function: Any, m: Any, t: int, core: int, x: int, b: int, kind: int, *rest: Any) -> Any:
        """The line is on its way already, with slot b."""
        who = self.describe(b)
        end: int = function(m, t, core, x, b, kind, *rest)
        if self._mine and end == -1:
            self._waited = f"its line is on its way already, for {who}"
            if kind != STORE:
                self.joined = who
                self.note(f"its line is on its way already, for {who}: it waits for what is left of that")
        elif self._mine and end >= 0:
            self.tell(C_L1, m.p.l1, f"its line is on its way already, for {who}: posted to that")
        return end

    def _tell_waits(self, at: int, ready: int, start: int, why: int) -> None:
        """What passed between the address being known and the look-up."""
        self.tell(why, ready - at, self._waited or "it lies across two lines: both are looked up")
        self.tell(C_OS, start - ready, "a timer tick has the CPU")

    # ---- TLBs and private caches ---------------------------------------------------------------------------------

    def hit_l1(self, function: Any, m: Any, *rest: Any) -> Any:
        """L1 has the line."""
        if self._mine:
            self._tell_waits(*rest[-4:])
            self.tell(C_L1, m.p.l1, "the L1 DTLB knows the page, L1 has the line")
            self.stack = {C_L1: m.p.l1}  # unless it has waited: account_private knows
        end = function(m, *rest)
        if self._mine:
            self._finish()
        return end

    def hit_coming(self, function: Any, m: Any, t: int, x: int, klass: int, *rest: int) -> Any:
        """L1 will have the line soon."""
        at, ready, start, why, there = rest
        if self._mine:
            self._tell_waits(at, ready, start, why)
            self.tell(C_L2, there - start, "the line is on its way from L2 to L1, for an access shortly before")
        return function(m, t, x, klass, *rest)

    def look_further(self, function: Any, m: Any, core: int, group: int, va: int, *rest: int) -> Any:
        """Beyond L1, as far as the core's caches go."""
        if not self._mine:
            return function(m, core, group, va, *rest)
        _, _, level, _, write, known_page = rest
        self._looks, self._looking = [], True
        try:
            found = function(m, core, group, va, *rest)
        finally:
            self._looking = False
        self._inside = list(self._told_looks(m, level, write, known_page))
        return found

    def unasked(self, function: Any, *rest: Any) -> Any:
        """A prefetcher, or a wrong path, looks for a line: nobody's access."""
        mine, self._mine = self._mine, False
        asked = function(*rest)
        self._mine = mine
        return asked

    def _told_looks(self, m: Any, level: int, write: int, known_page: int) -> Any:
        """Steps of a way through TLBs and private caches; level: the page walk's step, 0 when translated."""
        walks = [n for what, n, _ in self._looks if what == "walk"]
        if known_page < 0 and not walks:
            yield C_TLB, m.p.stlb, "the L1 DTLB misses, the second-level TLB knows the page"
        if walks:
            level = walks[0]
            yield C_TLB, m.p.stlb, f"L1 DTLB and second-level TLB miss: a page walk begins at the {TABLES[level & 7]}"
        shared = False
        for what, n, fit in self._looks:
            if what == "walked":
                level = n
            elif what == "asked":
                whose = f"the guest's {TABLES[level & 7]}"
                does = "has no" if n >> nested.HOST else "has the"
                yield C_TLB, m.p.nested, f"page walk: the nested TLB {does} translation for the address of {whose}"
                level = n
            elif what in ("L1", "L2"):
                hit = n >= 0 and (fit or level > 0 or not write)
                if hit or what == "L2":
                    time = m.p.l1 if what == "L1" else m.p.l2
                    yield C_TLB if level else C_L1 if what == "L1" else C_L2, time, self._look(level, what, hit, shared)
                shared = n >= 0 and not hit

    def _look(self, level: int, where: str, hit: bool, shared: bool) -> str:
        what = f"page walk: the entry of the {TABLES[level & 7]} is" if level else "the line is"
        if level >> nested.HOST:
            table = TABLES[level >> nested.HOST]
            what = f"page walk: the host's entry of the {table} for the guest's {TABLES[level & 7]} is"
        if hit:
            return f"{what} in {where}"
        if shared and not level:
            return "the core has the line, but not to write: it has to ask"
        return f"{what} neither in L1 nor in L2"

    def touch(self, function: Any, c: Any, s: int, tag: int) -> Any:
        """A look-up; fit: the line may be written."""
        i: int = function(c, s, tag)
        if self._looking and (c is self.m.l1 or c is self.m.l2):
            self._looks.append(("L1" if c is self.m.l1 else "L2", i, i >= 0 and c.tag[i] & EXCLUSIVE != 0))
        return i

    def bring(self, function: Any, *rest: Any) -> None:
        """A line enters L1; what moves for it is looked up, too, but by nobody's access."""
        looking, self._looking = self._looking, False
        function(*rest)
        self._looking = looking

    def noted(self, what: str) -> Any:
        """A wrapper that notes to which step a page walk goes on."""

        def wrapper(function: Any, *rest: Any) -> Any:
            step: int = function(*rest)
            if self._looking:
                self._looks.append((what, step, False))
            return step

        return wrapper

    def hit_l2(self, function: Any, m: Any, t: int, x: int, klass: int, kind: int, *rest: int) -> None:
        """The access has ended in its core's caches."""
        if self._mine:
            self._tell_waits(*rest[:4])
            self._tell_inside()
        function(m, t, x, klass, kind, *rest)

    def _tell_inside(self) -> None:
        for step in self._inside:
            self.tell(*step)
        self._inside = []

    # ---- misses --------------------------------------------------------------------------------------------------

    def slot_for(self, function: Any, m: Any, *rest: int) -> Any:
        """The access gets a slot, and is that from now on."""
        mine, self._mine = self._mine, False
        a: int = function(m, *rest)
        self._mine = mine
        if mine:
            self._tell_waits(*rest[-4:])
            self.a, self.x = a, NOBODY
        return a

    def go_on(self, function: Any, m: Any, a: int, *rest: int) -> None:
        """A slot has looked in its core's caches. (What it is charged there is told look by look.)"""
        if a == self.a:
            self._tell_inside()
            self.quiet = True
        function(m, a, *rest)
        self.quiet = False

    # ---- the end -------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """The access is done; its slot, or place in the window, is another's from now on."""
        self.done = True
        self.a = self.x = NOBODY

    def account(self, function: Any, out: Any, s: Any, a: int, end: int) -> None:
        """A slot's access is done."""
        if a == self.a:
            stack = s.stack[a << SLOT_SHIFT : (a << SLOT_SHIFT) + COUNT]
            self.stack = {cause: ps for cause, ps in enumerate(stack) if ps}
            self._finish()
        function(out, s, a, end)

    def account_private(self, function: Any, out: Any, w: Any, x: int, klass: int, *rest: int) -> None:
        """An access is done that ended in its core's caches."""
        waited, why, os, walk, cause, last = rest
        if x == self.x and (self._mine or self._ending):
            if self._ending:
                self.tell(C_L1, last, "the line has just come: L1 has it")
            self.stack = {}
            for key, ps in ((why, waited), (C_OS, os), (C_TLB, walk), (cause, last)):
                self.stack[key] = self.stack.get(key, 0) + ps
            self._finish()
        function(out, w, x, klass, *rest)

    _ending = False

    def complete_joined(self, function: Any, *rest: Any) -> None:
        """Those that joined a fill are done."""
        self._ending = True
        function(*rest)
        self._ending = False

    def account_joined(self, function: Any, out: Any, w: Any, x: int, klass: int, latency: int) -> None:
        """An access is done that joined a fill: of that fill's causes, those that were left."""
        if x == self.x:
            order = MET
            for _ in range(COUNT):
                cause, order = order & 15, order >> 4
                ps = w.stack[(x << 4) + cause]
                if ps:
                    self.tell(cause, ps, f"what is left of the fill for {self.joined}")
            self.stack = {cause: w.stack[(x << 4) + cause] for cause in range(COUNT)}
            self._finish()
        function(out, w, x, klass, latency)
