"""The reference scheduler: simpy processes that call the very same component functions, slow and readable.

A thread's front end is a process, so is every miss on its way, so is every memory channel that has requests waiting.
Put a `print` anywhere. It agrees with the compiled scheduler event for event because
 1. time is a whole number of picoseconds;
 2. simultaneous events run in the order of their actors' numbers (state.py): simpy's `priority` carries it;
 3. simpy's own events (a process starts, a sleeper is woken) have its usual priorities 0 and 1, and so come first;
 4. whoever is woken acts through an event of its own, even if it is due at once.

Links are booked by `links.send` (start = max(now, free)) here too, not by simpy.Resource: posted writes, which have no
process, share them.
"""

from collections.abc import Callable, Generator
from typing import Any

import simpy
from simpy.events import Event

from numasim.engine import directory, dram
from numasim.engine.acts import settle, wait_for_link
from numasim.engine.arrival import arrive, complete, locked
from numasim.engine.channel import choose, look_again, take_bus
from numasim.engine.core import dispatch
from numasim.engine.dram import charge
from numasim.engine.path import (
    at_directory,
    head_home,
    look_up_l3,
    over_link,
)
from numasim.engine.slots import AT_BUS, AT_CORE, AT_DIRECTORY, AT_HOME, AT_L3, AT_LINK, AT_MEMORY, AT_OWN, AT_TRACKER
from numasim.engine.state import C_L3, K_RUNNING, K_STARVED, SLOT_SHIFT, Machine
from numasim.engine.trackers import give_tracker, take_tracker
from numasim.traces.records import ATOMIC, LOCK, UNLOCK

Process = Generator[Event, Any, None]


class Clock(simpy.Environment):
    """An environment whose events belong to actors, and whose time is whole picoseconds."""

    @property
    def ps(self) -> int:
        """What time it is."""
        return int(self.now)

    def at(self, time: int, actor: int) -> Event:
        """The actor's event at a time, after those of lower actors at the same time."""
        event = Event(self)
        event._ok, event._value = True, None
        self.schedule(event, priority=2 + actor, delay=time - self.now)  # type: ignore[arg-type]
        return event


class Reference:
    """A machine (its arrays as Python lists) run to its end.

    feed: called with the machine when a thread is out of records. pulse: the same, now and then.
    """

    def __init__(
        self, m: Machine, feed: Callable[[Machine], None], pulse: Callable[[Machine], None] = lambda m: None
    ) -> None:
        self.m, self.feed, self.pulse = m, feed, pulse
        self.clock = Clock(0)
        self.asleep: dict[int, Event] = {}
        for t in range(m.threads):
            self.clock.process(self.front_end(t))

    def run(self) -> None:
        """Until all threads that end by themselves are done, or nothing goes on."""
        events = 0
        while self.m.control[K_RUNNING] > 0 and self.clock.peek() != float("inf"):
            self.clock.step()
            events += 1
            if events % 1000 == 0:
                self.pulse(self.m)

    def sleep(self, actor: int) -> Event:
        """Until somebody wakes the actor; the event's value is the time at which it then acts."""
        self.asleep[actor] = self.clock.event()
        return self.asleep[actor]

    def wake(self, me: int) -> int:
        """Give all those that were woken an event. When `me` acts next, if it was among them; else -1."""
        m, mine = self.m, -1
        for k in range(1, m.woken[0] + 1):
            actor, when = m.woken[k], m.when[k]
            if actor == me:
                mine = when
            elif actor in self.asleep:
                self.asleep.pop(actor).succeed(when)
            elif actor < m.fronts:
                self.clock.process(self.miss(actor, when))
            else:
                self.clock.process(self.channel(actor, when))
        m.woken[0] = 0
        return mine

    def front_end(self, t: int) -> Process:
        """A thread: it takes its records in order, as far as its window reaches."""
        m, when, me = self.m, 0, self.m.fronts + t
        while True:
            yield self.clock.at(when, me)
            now = self.clock.ps
            when = dispatch(m, t, now)
            settle(m, m.front.core[t], -1, now)
            when = wait_for_link(m, t, when)
            if m.control[K_STARVED]:
                self.feed(m)
            when = max(when, self.wake(me))
            if when < 0:
                when = yield self.sleep(me)

    def miss(self, a: int, when: int) -> Process:
        """A miss: each line its page walk needs, then its own, from the core's caches and back to them."""
        m, s, i = self.m, self.m.slot, a << SLOT_SHIFT
        while True:
            yield self.clock.at(when, a)
            if AT_L3 <= s.stage[i] < AT_CORE:
                when = yield from self.beyond_the_core(a)
                continue
            now = self.clock.ps
            goes_on, when = -1, -1
            if s.stage[i] == AT_OWN or arrive(m, a, now):
                goes_on = a
            elif s.kind[i] in (ATOMIC, LOCK, UNLOCK) and not s.probe[i]:
                when = locked(m, a, now)
            if goes_on < 0 and when == -1:
                complete(m, a, now)
                settle(m, a >> m.core.slot_bits, -1, now)
                self.wake(-1)
                return
            settle(m, a >> m.core.slot_bits, goes_on, now)
            when = max(when, self.wake(a), -1)
            if when < 0:  # it waits for a lock
                when = yield self.sleep(a)

    def beyond_the_core(self, a: int) -> Generator[Event, Any, int]:
        """The L3, the directory, the fabric, memory, and back: when the line reaches the core."""
        m, s, i, clock = self.m, self.m.slot, a << SLOT_SHIFT, self.clock
        charge(s, a, C_L3, m.p.l3)
        if s.shared[i] == directory.ASK and s.level[i] == 0:
            s.stage[i] = AT_DIRECTORY
            yield clock.at(clock.ps + m.p.l3, a)
            while (when := at_directory(m, a, clock.ps)) < 0:  # on its way to another core
                woken = yield self.sleep(a)
                yield clock.at(woken, a)
        else:
            when = look_up_l3(m, a, clock.ps + m.p.l3)
        self.wake(-1)  # channels that write what others pushed out of an L3
        while s.stage[i] != AT_CORE:
            yield clock.at(when, a)
            if s.stage[i] == AT_TRACKER and not take_tracker(m, a, clock.ps):
                when = yield self.sleep(a)  # all of its node's are taken
            elif s.stage[i] == AT_LINK:
                when = over_link(m, a, clock.ps)
            elif s.stage[i] == AT_MEMORY:
                when = yield from self.memory(a)
            else:  # another core, or another domain's L3, has the line; or it is back
                if s.stage[i] == AT_HOME:
                    give_tracker(m, a, clock.ps)
                    self.wake(-1)
                when = head_home(m, a, clock.ps)
        return when

    def memory(self, a: int) -> Generator[Event, Any, int]:
        """The line's channel: its bank opens the row, then the data takes the bus. When it starts back."""
        m, s, i, clock = self.m, self.m.slot, a << SLOT_SHIFT, self.clock
        node = s.line[i] >> m.pages.node_shift
        if m.dram.kind[node] == dram.CURVE:
            return head_home(m, a, dram.by_curve(m.dram, s, m.control, m.links, a, node, clock.ps))
        s.stage[i] = AT_BUS
        ready = dram.arrive(m.dram, s, a, node, s.line[i], clock.ps)
        if ready != clock.ps:
            if ready < 0:  # the bank, or the channel's queue, is taken
                ready = yield self.sleep(a)
            yield clock.at(ready, a)
        start, look = dram.at_bus(m.dram, s, a, clock.ps)
        if start >= 0:
            when = take_bus(m, a, clock.ps, start)
            self.wake(a)
            return when
        if look >= 0:
            self.clock.process(self.channel(m.channels + s.source[i], look))
        when = yield self.sleep(a)  # the channel serves it
        return int(when)

    def channel(self, actor: int, when: int) -> Process:
        """A memory channel with ready requests waiting for its bus: one after the other, best first."""
        m, ch = self.m, actor - self.m.channels
        while when >= 0:
            yield self.clock.at(when, actor)
            a, start, when = choose(m, ch, self.clock.ps)
            self.wake(actor)
            if a >= 0:
                back = take_bus(m, a, self.clock.ps, start)
                when = look_again(m, ch)
                self.wake(actor)
                self.asleep.pop(a).succeed(back)
