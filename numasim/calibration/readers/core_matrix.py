"""Core-to-core latency matrices: what core-to-core-latency and its like write and print, and lists of pairs.

Square: a row and a column a CPU, often the lower triangle alone, empty where nothing was measured, with or without the
CPUs' numbers before and above. List: core_i, core_j, one_way_latency_ns. Printed: "29±0" for a pair, a row after the
number of its CPU, in lines of any length; of several matrices in a print the first counts.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numasim.calibration.published import Cell, Floats
from numasim.calibration.readers.measured import Measured
from numasim.calibration.readers.text import fields, lines, number
from numasim.errors import UserError
from numasim.machine import Machine, Topology

CLASSES = ("smt_sibling", "same_ccx_or_cluster", "same_socket", "cross_socket")
MOST_CPUS = 4096
_PAIR = re.compile(r"(core|cpu)_?(i|j|a|b|1|2|from|to)", re.IGNORECASE)
_PRINTED = re.compile(r"(\d+(?:\.\d+)?)±\d+(?:\.\d+)?")
_EXPECTED = "a square matrix of ns, a row and a column for each CPU, or core_i,core_j,one_way_latency_ns"


def is_list(header: Sequence[str]) -> bool:
    """Do these words head a list of pairs?"""
    return len(header) == 3 and all(_PAIR.fullmatch(word) for word in header[:2])


def is_printed(line: str) -> bool:
    """Is this a row of what core-to-core-latency prints?"""
    words = line.split()
    return len(words) > 1 and words[0].isdecimal() and all(map(_PRINTED.fullmatch, words[1:]))


def read(path: str | Path) -> Measured:
    """The matrix of a file: `matrix` [cpus, cpus] in ns one way, NaN where nothing was measured, symmetric.

    Where both directions of a pair were measured it is their mean. Raises UserError with file and line.
    """
    named = [(f"{path}:{count}", line) for count, line in enumerate(lines(path), 1) if line.strip()]
    if any(is_printed(line) for _, line in named):
        return _measured(_of_print(named))
    rows = [(where, fields(line, where)) for where, line in named]
    return _measured(_of_list(rows, str(path)) if is_list(rows[0][1]) else _of_square(rows), str(path))


def _measured(directed: Floats, file: str = "matrix") -> Measured:
    """Both directions of a pair become one value. Raises UserError if there are none at all."""
    if np.isnan(directed).all():
        raise UserError("has no latencies", file, _EXPECTED)
    other = directed.T
    both = np.where(np.isnan(directed), other, np.where(np.isnan(other), directed, (directed + other) / 2))
    return Measured([], None, {"instrument": "core-to-core matrix", "cpus": str(len(both))}, matrix=both)


def _of_print(named: list[tuple[str, str]]) -> Floats:
    """The lower triangle of a print: under the CPUs' numbers, a row is its CPU's number and a pair for each before it.

    Where a terminal was narrow a row goes on in the next line. Raises UserError with file and line.
    """
    rows: list[list[float]] = []
    head = False
    for where, line in named:
        words = line.split()
        if not head:  # the numbers of the CPUs, or as many of them as were in one line
            head = len(words) > 1 and words == [str(n) for n in range(len(words))]
        elif words[0].isdecimal() and int(words[0]) == len(rows) and all(map(_PRINTED.fullmatch, words[1:])):
            _whole(rows, where)
            rows.append([])
            words = words[1:]
        elif not (rows and all(map(_PRINTED.fullmatch, words))):
            if rows:
                break  # the summary, or another matrix
            continue
        if rows:
            rows[-1] += [number(_PRINTED.sub(r"\1", word), where, "ns, a number above 0") for word in words]
    _whole(rows, named[-1][0])
    matrix = np.full((len(rows), len(rows)), np.nan)
    for cpu, row in enumerate(rows):
        matrix[cpu, :cpu] = row[:cpu]
    return matrix


def _whole(rows: list[list[float]], where: str) -> None:
    """Has the row before this line a value for each CPU before it, or for every one?"""
    if rows and len(rows[-1]) < len(rows) - 1:
        raise UserError(f"{len(rows[-1])} values of CPU {len(rows) - 1}", where, f"{len(rows) - 1} in the row before")


def _of_list(rows: list[tuple[str, list[str]]], file: str) -> Floats:
    found: dict[tuple[int, int], float] = {}
    for where, row in rows[1:]:
        if len(row) != 3:
            raise UserError(f"{len(row)} values", where, "3: two CPUs and ns")
        one, other = (_cpu(word, where) for word in row[:2])
        if one == other or (one, other) in found:
            raise UserError(f"the pair {one}, {other}", where, "two CPUs, each pair once")
        found[one, other] = number(row[2], where, "ns, a number above 0")
    if not found:
        raise UserError("has no rows", file, _EXPECTED)
    size = 1 + max(max(pair) for pair in found)
    matrix = np.full((size, size), np.nan)
    for pair, value in found.items():
        matrix[pair] = value
    return matrix


def _cpu(word: str, where: str) -> int:
    if not word.isdecimal() or int(word) >= MOST_CPUS:
        raise UserError(f"CPU {word!r}", where, f"a whole number below {MOST_CPUS}")
    return int(word)


def _of_square(rows: list[tuple[str, list[str]]]) -> Floats:
    head = rows[0][1]
    body = [word for word in head if word]
    if (
        body
        and (head[0] == "" or not head[0].isdecimal())
        and [_digits(word) for word in head[1:]] == list(range(len(head) - 1))
    ):  # numbers of the CPUs above, and so before
        rows = [(where, row[1:]) for where, row in rows[1:]]
    elif len(body) > 1 and [_digits(word) for word in head] == list(range(len(head))):  # above only
        rows = rows[1:]
    size = len(rows)
    if not 2 <= size <= MOST_CPUS:
        raise UserError(f"{size} rows", rows[0][0] if rows else "matrix", _EXPECTED)
    matrix = np.full((size, size), np.nan)
    for one, (where, row) in enumerate(rows):
        if len(row) != size:
            raise UserError(f"{len(row)} columns in a matrix of {size} rows", where, _EXPECTED)
        for other, word in enumerate(row):
            if word.lower() not in ("", "nan", "-") and one != other:
                matrix[one, other] = number(word, where, "ns, a number above 0, or nothing")
    return matrix


def _digits(word: str) -> int:
    """The number in "3", "CPU3" or "core 3"; -1 if that is not what it is."""
    found = re.fullmatch(r"(?:[A-Za-z]+ ?)?(\d+)", word)
    return int(found[1]) if found else -1


# How Linux and firmware number CPUs: which core of a machine, whose cores are numbered socket by socket, a CPU is of.
Numbering = Callable[[Topology, int], int]
NUMBERINGS: dict[str, Numbering] = {
    "first threads of all cores first, socket by socket": lambda t, cpu: cpu % t.cores,
    "the threads of a core side by side": lambda t, cpu: cpu // t.threads_per_core,
    "sockets in turn": lambda t, cpu: cpu % t.cores % t.sockets * (t.cores // t.sockets) + cpu % t.cores // t.sockets,
}


class Classes(NamedTuple):
    """cells: "pairs" (class), medians in ns.  numbering: how the CPUs were taken to be numbered."""

    cells: list[Cell]
    numbering: str


def cells(matrix: Floats, machine: Machine, file: str = "matrix") -> Classes:
    """Medians by class of pair: threads of a core, cores of an L3 domain, of a socket, of two sockets.

    A class's median is over pairs of first threads where there are any. Of the usual numberings of CPUs the one is
    taken whose classes are the most uniform (the least sum of distances from their medians): the matrix itself does not
    say. Raises UserError if the machine has fewer CPUs than the matrix.
    """
    t = machine.topology
    if len(matrix) > t.cpus:
        raise UserError(f"a matrix of {len(matrix)} CPUs", file, f"of {machine.name}: {t.cpus} at most")
    tried = []
    for name, core_of in NUMBERINGS.items():
        groups = _classes(matrix, t, core_of)
        spread = sum(float(np.abs(np.log(values / np.median(values))).sum()) for values in groups.values())
        tried.append((spread, name, core_of))
    _, name, core_of = min(tried, key=lambda one: one[0])
    first: set[int] = set()
    chosen = []
    for cpu in range(len(matrix)):
        if core_of(t, cpu) not in first:
            first.add(core_of(t, cpu))
            chosen.append(cpu)
    kept = np.full_like(matrix, np.nan)
    kept[np.ix_(chosen, chosen)] = matrix[np.ix_(chosen, chosen)]
    groups = _classes(matrix, t, core_of) | _classes(kept, t, core_of)
    return Classes([Cell("pairs", (kind,), float(np.median(groups[kind]))) for kind in CLASSES if kind in groups], name)


def _classes(matrix: Floats, t: Topology, core_of: Numbering) -> dict[str, Floats]:
    """The measured latencies of each class that has some; each pair once."""
    core = np.array([core_of(t, cpu) for cpu in range(len(matrix))])
    domain, socket = np.array(t.core_domain)[core], np.array(t.core_socket)[core]
    one, other = np.triu_indices(len(matrix), 1)
    kind = np.full(len(one), 3)
    kind[socket[one] == socket[other]] = 2
    if t.domains_per_socket > 1:
        kind[domain[one] == domain[other]] = 1
    kind[core[one] == core[other]] = 0
    values = matrix[one, other]
    there = ~np.isnan(values)
    return {name: values[there & (kind == n)] for n, name in enumerate(CLASSES) if (there & (kind == n)).any()}
