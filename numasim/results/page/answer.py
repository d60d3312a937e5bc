"""The answer in a sentence: what it costs, and the main cause of the slowest."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from numasim.results.distribution import Distribution
from numasim.results.figures import count, duration, largest, ns, slowest
from numasim.results.result import Group, Of, Result

FEW = 100  # operations; below, their percentiles say nothing, and the sentence is about accesses
TAIL = 99
ALL = 0.999  # of a group's bytes: then there is one memory to name
FULL = 0.9  # of a link's capacity: then it is named
FLAT = 1.2  # p99 to p50: below, there is no tail to speak of
UNIT = re.compile(r"(\d) (ns|us|ms|s|%)(?!\w)")  # a number and its unit stay in one line

WAITS = {
    "l1": "in the first-level cache",
    "l2": "in the second-level cache",
    "l3": "in the last-level cache",
    "split": "accesses across two lines",
    "tlb_walk": "translation of addresses",
    "fill_wait": "waiting for a free fill buffer",
    "fabric": "on the die's own mesh",
    "link_wait": "waiting for a busy link",
    "link": "crossing links",
    "memory_wait": "waiting for a memory bank or bus",
    "memory": "memory itself",
    "refresh": "waiting for a refresh of memory",
    "coherence": "fetching lines from other cores",
    "lock_wait": "waiting for a lock",
    "os": "the operating system",
    "branch": "wrongly guessed branches",
    "compute": "instructions",
}
"""Each cause as the sentence names it: "... are 71 % waiting for a busy link"."""

OPERATIONS = {
    "list": "walk of the list",
    "slice": "walk of the slice",
    "map": "look-up",
    "tree": "look-up",
    "listmap": "look-up",
    "lock": "turn with the lock",
}
"""What one operation of a workload is; others' are just operations."""


def sentences(result: Result) -> Iterator[tuple[str, str]]:
    """(group, sentence), one for each group that counted anything; the group's name is "" where there is only one."""
    for group in result.groups.values():
        of, latencies = told(group)
        if latencies.count:
            name = group.name if len(result.groups) > 1 else ""
            yield name, UNIT.sub("\\1\u00a0\\2", _sentence(result, group, of, latencies))


def told(group: Group) -> tuple[Of, Distribution]:
    """Whose latencies a group is judged by: its operations', unless there are few or none."""
    if group.operation is not None and (group.operation.count >= FEW or not group.access.count):
        return "operation", group.operation
    return "access", group.access


def thing(result: Result, group: str, of: Of) -> str:
    """What is timed, with its article: a look-up, an access."""
    if of == "access":
        return "an access"
    word = OPERATIONS.get(str(_configured(result, group).get("workload")), "operation")
    if _configured(result, group).get("keys", {}).get("operation") == "next":
        word = "step of the list"
    return f"an {word}" if word[0] in "aeio" else f"a {word}"


def _configured(result: Result, group: str) -> Mapping[str, Any]:
    """The group as the scenario has it; empty where the file does not say."""
    groups = result.provenance.get("configuration", {}).get("groups", ())
    found = next((g for g in groups if isinstance(g, dict) and g.get("name") == group), {})
    return found if isinstance(found.get("keys", {}), dict) else {}


def time_text(value_ns: float) -> str:
    """143 ns, 1,234 ns, 50.7 ms."""
    return f"{ns(value_ns)} ns" if value_ns < 1e5 else duration(value_ns)


def _sentence(result: Result, group: Group, of: Of, latencies: Distribution) -> str:
    what = thing(result, group.name, of)
    what = what[0].upper() + what[1:]
    if latencies.count < FEW:
        times = f"{latencies.count} were counted" if latencies.count > 1 else "one was counted"
        tail, words = latencies.stack_ns, "it is"
        text = f"{what} takes {time_text(latencies.mean_ns)} on average ({times})"
    else:
        middle, high = latencies.percentile(50), latencies.percentile(TAIL)
        text = f"{what} takes {time_text(latencies.mean_ns)} on average, "
        text += f"{time_text(middle)} at p50 and {time_text(high)} at p99"
        tail, words = latencies.tail_stack_ns(TAIL), f"the {slowest(TAIL, latencies.count)} are"
        if high < FLAT * middle:
            tail, words = latencies.stack_ns, "it is"
    causes = largest(tail, 1)
    if not causes:
        return text + "."
    cause, share = causes[0]
    why = f"{100 * share:.0f} % {WAITS.get(cause, cause)}{_where(result, group.name, cause)}"
    return f"{text}; {words} {why}."


def _where(result: Result, group: str, cause: str) -> str:
    """Which memory or link, where there is one answer: what served nearly all bytes, the link that is nearly full."""
    if cause in ("memory", "memory_wait", "refresh"):
        number = result.raw.groups.index(group)
        served = result.raw.node_read_bytes[number] + result.raw.node_write_bytes[number]
        if served.size and served.max() >= ALL * served.sum() > 0:
            return f" on node {int(served.argmax())}"
    if cause == "link_wait" and result.links:
        busiest = max(result.links, key=lambda link: link.utilisation)
        if busiest.utilisation >= FULL:
            return f" ({busiest.source} to {busiest.target})"
    return ""


def counted(result: Result) -> str:
    """How much the answer rests on."""
    return f"{count(result.access.count)} accesses in {duration(result.simulated_ns)} of the machine's time"
