"""Node sets in numactl's words and CPU lists in taskset's: `0,2`, `0-3`, `all`, `!0`, `+0-1`, `0-31:2`."""

import re
from collections.abc import Iterable, Sequence

from numasim.errors import UserError

_NODES = "a node set such as 0,2 or 0-3 or all or !0 or +0"
_CPUS = "a CPU list such as 0,5,8-11 or 0-31:2 or all or !0 or +0-3"
_ITEM = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")


def parse_nodes(text: str, available: Sequence[int], where: str = "") -> tuple[int, ...]:
    """The nodes a word of numactl's means, ascending; `available` are those there are, ascending.

    `all` is every one, a leading `!` all but these, a leading `+` (after the `!`) counts within `available`.
    Raises UserError: no such form, no such node, or none left.
    """
    return _parse(text, available, where, "node", _NODES)


def parse_cpus(text: str, available: Sequence[int], where: str = "") -> tuple[int, ...]:
    """The CPUs a list in taskset's form means, ascending; `0-31:2` is every second one. Otherwise as `parse_nodes`."""
    return _parse(text, available, where, "cpu", _CPUS)


def format_list(numbers: Iterable[int]) -> str:
    """Numbers as the kernel lists them: ascending, runs as ranges, `0-3,8`."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


def _parse(text: str, available: Sequence[int], where: str, noun: str, expected: str) -> tuple[int, ...]:
    words = text.strip()
    inverted = words.startswith("!")
    words = words[1:] if inverted else words
    relative = words.startswith("+")
    words = words[1:] if relative else words
    if words == "all":
        chosen = set(available)
    else:
        chosen = {number for word in words.split(",") for number in _range(word, text, where, noun, expected)}
        if relative:
            chosen = {_relative(number, available, where, noun) for number in chosen}
    for number in sorted(chosen):
        if number not in available:
            raise UserError(f"no {noun} {number}", where, format_list(available))
    chosen = set(available) - chosen if inverted else chosen
    if not chosen:
        raise UserError(f"{text!r} leaves no {noun}", where, f"at least one of {format_list(available)}")
    return tuple(sorted(chosen))


def _range(word: str, text: str, where: str, noun: str, expected: str) -> range:
    found = _ITEM.fullmatch(word.strip())
    if not found or (found[3] and (noun == "node" or int(found[3]) == 0)):
        raise UserError(f"{text!r} is no list of {noun}s", where, expected)
    first = int(found[1])
    last = int(found[2]) if found[2] else first
    if last < first:
        raise UserError(f"{word.strip()!r} runs backwards", where, expected)
    # a range is never longer than the numbers there can be, whatever was typed
    if last > 2**20:
        raise UserError(f"no {noun} {last}", where, expected)
    return range(first, last + 1, int(found[3] or 1))


def _relative(number: int, available: Sequence[int], where: str, noun: str) -> int:
    if number >= len(available):
        raise UserError(f"no {noun} +{number}", where, f"+0 to +{len(available) - 1}")
    return available[number]
