"""Intel Memory Latency Checker, text logs of all versions: matrices, peak, loaded latency, core to core.

The forms were read off public logs of v3.0 to v3.11b and off the printing parts of the tool's own published source:
tests/data/calibration/README.md says where. MLC's MB/s are 1e6 bytes a second.
"""

import re
import statistics
from pathlib import Path

import numpy as np

from numasim.calibration.published import Cell, Curve
from numasim.calibration.readers.measured import ALL_SOCKETS, Measured
from numasim.calibration.readers.text import lines, number
from numasim.errors import UserError

VERSION = re.compile(r"Intel\(R\) Memory Latency Checker - (v\S+)", re.IGNORECASE)
SECTIONS = {
    "idle": re.compile(r"Measuring idle latencies", re.IGNORECASE),
    "bandwidth": re.compile(r"Measuring Memory Bandwidths between nodes", re.IGNORECASE),
    "peak": re.compile(r"Measuring Peak (?:Injection )?Memory Bandwidths", re.IGNORECASE),  # the second up to v3.3
    "maximum": re.compile(r"Measuring Maximum Memory Bandwidths", re.IGNORECASE),
    "loaded": re.compile(r"Measuring Loaded Latencies", re.IGNORECASE),
    "c2c": re.compile(r"Measuring cache-to-cache transfer latency", re.IGNORECASE),
}
_COMMAND = re.compile(r"Command line parameters:\s*(.*)", re.IGNORECASE)
_LABEL = r"(?:writer )?(?:numa node|socket)"
_HEADER = re.compile(rf"(?:{_LABEL}\s+)?(\d+(?:\s+\d+)*)", re.IGNORECASE)
_NAMED = re.compile(rf"{_LABEL}\s+/\S+", re.IGNORECASE)  # a drive in place of nodes
_RATIO = re.compile(r"(All Reads|Stream-triad like|(\d+):(\d+) Reads?-Writes?)\s*:\s*(\S*)", re.IGNORECASE)
_DELAY = re.compile(r"\d{5,}")
_REMARK = re.compile(r"(?<=\S)\s*(?://|#|<-).*")  # what people write beside figures
_SINGLE = re.compile(r"Each iteration took .*?\(\s*([\d.]+)\s*ns\s*\)", re.IGNORECASE)
_LOCAL = re.compile(r"Local Socket L2->L2 (HITM?)\s+latency\s*(\S*)", re.IGNORECASE)
_REMOTE = re.compile(r"Remote Socket L2->L2 HITM latency.*homed in (writer|reader)", re.IGNORECASE)
_NODES = ("-c", "-i", "-j")  # options of --idle_latency that choose CPU or memory


def read(path: str | Path) -> Measured:
    """The figures of a log, whole or in part; medians where it holds several runs.

    cells: "idle", "bandwidth" (GB/s), "c2c", "peak" of reads, 3:1, 2:1 and 1:1, "triad" (as STREAM's: of two reads and
    a write that passes the caches, MLC's traffic W10). curve: loaded latency of reads, of all
    sockets. What a log has beyond that is named in environment["left out"]. Raises UserError with file and line.
    """
    log = _Log(str(path))
    for count, line in enumerate(lines(path), 1):
        log.line(_REMARK.sub("", line.lstrip("# ")).strip('" '), f"{path}:{count}")
    return log.measured()


class _Table:
    """A matrix being read: its columns, and the rows it had."""

    def __init__(self, columns: tuple[int, ...], where: str) -> None:
        self.columns, self.where = columns, where
        self.rows: set[int] = set()


class _Log:
    """A log being read, line by line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.section, self.kind, self.all_reads = "", "", True
        self.table: _Table | None = None
        self.values: dict[tuple[str, tuple[str | int, ...]], list[float]] = {}
        self.points: dict[int, list[tuple[float, float]]] = {}  # by delay: GB/s, ns
        self.columns: dict[str, tuple[int, ...]] = {}  # of each kind of matrix
        self.heads: dict[str, tuple[int, str]] = {}  # of each quantity: columns, and where they were read
        self.said: dict[str, dict[str, None]] = {}  # ordered sets
        self.command = ""

    def say(self, key: str, text: str) -> None:
        self.said.setdefault(key, {})[text] = None

    def add(self, quantity: str, where: tuple[str | int, ...], value: float) -> None:
        self.values.setdefault((quantity, where), []).append(value)

    def line(self, text: str, where: str) -> None:
        """Take in one line. Raises UserError."""
        section = next((name for name, heading in SECTIONS.items() if heading.search(text)), "")
        version, command, single = VERSION.search(text), _COMMAND.search(text), _SINGLE.search(text)
        if section or version:
            self.begin(section, text)
            if version:
                self.say("instrument", f"Intel MLC {version[1]}")
        elif command:
            self.command = command[1].strip()
            self.say("command", self.command)
        elif single:
            self.single(number(single[1], where))
        elif "unable to modify prefetchers" in text.lower():
            self.say("prefetchers", "could not be switched off")
        elif text.lower().startswith("using"):
            self.using(text)
        elif self.section in ("idle", "bandwidth"):
            self.matrix(text, where)
        elif self.section == "c2c":
            self.c2c(text, where)
        elif self.section in ("peak", "maximum"):
            self.ratio(text, where)
        elif self.section == "loaded":
            self.delay(text, where)

    def begin(self, section: str, text: str) -> None:
        """A heading: what was under way ends."""
        self.section, self.kind, self.table, self.all_reads = section, section, None, True
        if section == "idle":
            access = next((word for word in ("random", "sequential") if word in text.lower()), "")
            if access:
                self.say("idle access", access)
            if "for all cores" in text.lower():
                self.leave("idle latencies of each CPU")

    def leave(self, what: str) -> None:
        """Skip the rest of this section, and say so."""
        self.say("left out", what)
        self.section = ""

    def using(self, text: str) -> None:
        low = text.lower()
        if "pages" in low:
            self.say("pages", text.removeprefix("Using ").strip())
        if self.section in ("loaded", "bandwidth") and "traffic" in low and "read-only" not in low:
            self.leave(f"{'loaded latency' if self.section == 'loaded' else 'bandwidth matrix'} of other than reads")

    def single(self, value: float) -> None:
        """--idle_latency, which says no node: the local one of CPU 0, unless options say otherwise."""
        if any(word[:2] in _NODES for word in self.command.split()):
            self.say("left out", f"one latency with {self.command}")
        else:
            self.add("single", (0, 0), value)

    def matrix(self, text: str, where: str) -> None:
        words = text.split()
        if self.table and words and words[0].isdecimal():
            self.row(self.table, words, where)
            return
        self.table = None
        header = _HEADER.fullmatch(text)
        if header:
            self.head(tuple(map(int, header[1].split())), where, labelled=not text[0].isdecimal())
        elif _NAMED.match(text):
            self.leave("a matrix of a drive")

    def head(self, columns: tuple[int, ...], where: str, labelled: bool) -> None:
        if not labelled and columns != tuple(range(len(columns))):
            return
        if columns != tuple(sorted(set(columns))):
            raise UserError(f"columns {' '.join(map(str, columns))}", where, "nodes in rising order")
        known = self.columns.setdefault(self.kind, columns)
        if known != columns:
            what = f"a matrix of {len(columns)} nodes after one of {len(known)}"
            raise UserError(what, where, "a log of one machine in one mode: cut the file in two")
        self.table = _Table(columns, where)
        self.heads.setdefault(self.section, (len(columns), where))

    def row(self, table: _Table, words: list[str], where: str) -> None:
        node = int(words[0])
        if len(words) - 1 != len(table.columns):
            expected = f"{len(table.columns)}, one for each column; is the log cut short?"
            raise UserError(f"row {node} has {len(words) - 1} values", where, expected)
        if node not in table.columns or node in table.rows:
            raise UserError(f"row {node}", where, "each node of the columns once at most")
        table.rows.add(node)
        for other, word in zip(table.columns, words[1:], strict=True):
            if word == "-":
                continue
            value = number(word, where, "a number above 0, or -")
            if self.section == "c2c":
                self.add("c2c", (self.kind, node, other), value)
            else:
                self.add(self.section, (node, other), value / 1e3 if self.section == "bandwidth" else value)

    def c2c(self, text: str, where: str) -> None:
        local, remote = _LOCAL.search(text), _REMOTE.search(text)
        if local:
            kind = f"local_L2_to_L2_{local[1].upper()}"
            self.add("c2c", (kind, "", ""), number(local[2], where))
        elif remote:
            self.kind, self.table = f"remote_HITM_homed_in_{remote[1].lower()}", None
        elif self.kind.startswith("remote"):
            self.matrix(text, where)

    def ratio(self, text: str, where: str) -> None:
        found = _RATIO.search(text)
        if not found:
            return
        value = number(found[4], where, "MB/s") / 1e3
        if found[1].lower().startswith("stream"):
            self.add("triad", (2, 1), value)
        else:
            reads, writes = (int(found[2]), int(found[3])) if found[2] else (1, 0)
            self.add(self.section, (reads, writes), value)

    def delay(self, text: str, where: str) -> None:
        words = text.split()
        if not words or not _DELAY.fullmatch(words[0]):
            return
        if len(words) != 3:
            what = f"{len(words)} values"
            raise UserError(what, where, "3: delay, ns, MB/s; is the log cut short?")
        ns, mbps = (number(word, where) for word in words[1:])
        self.points.setdefault(int(words[0]), []).append((mbps / 1e3, ns))

    def measured(self) -> Measured:
        """What was read, as medians over runs. Raises UserError if that is nothing."""
        if self.values.get(("single", (0, 0))) and ("idle", (0, 0)) not in self.values:
            self.values["idle", (0, 0)] = self.values["single", (0, 0)]
        if not any(quantity == "peak" for quantity, _ in self.values):
            maximum = {("peak", where): v for (quantity, where), v in self.values.items() if quantity == "maximum"}
            self.values |= maximum
        cells = [
            Cell(quantity, where, statistics.median(values))
            for wanted in ("idle", "bandwidth", "c2c", "peak", "triad")
            for (quantity, where), values in self.values.items()
            if quantity == wanted
        ]
        if not cells and not self.points:
            raise UserError("has no figures", self.name, "a matrix, bandwidths or loaded latencies of Intel MLC")
        runs = max([len(v) for v in self.values.values()] + [len(p) for p in self.points.values()])
        if runs > 1:
            self.say("runs", f"{runs}: medians")
        said = {key: "; ".join(texts) for key, texts in self.said.items()}
        return Measured(cells, self.curve(), said, heads=self.heads)

    def curve(self) -> Curve | None:
        if not self.points:
            return None
        points = sorted((*np.median(runs, axis=0), delay) for delay, runs in self.points.items())
        gbps, ns, delays = np.array(points).T
        return Curve(gbps, ns, ALL_SOCKETS, delays=delays)
