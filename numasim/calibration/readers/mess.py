"""Mess bandwidth-latency curves: the plotter's memory_curves.csv, or a simulator's bwlat_NN.txt, one a share of reads.

bwlat_NN.txt: two columns without a header, MB/s (or GB/s) and ns; NN is the share of reads in percent. The curve with
the most reads is taken, as a sheet's peak and other instruments' reads compare with it. Mess loads one socket.
"""

import re
from pathlib import Path

import numpy as np

from numasim.calibration.published import Curve
from numasim.calibration.readers.measured import Measured
from numasim.calibration.readers.text import fields, lines, number
from numasim.errors import UserError

NAME = re.compile(r"bwlat_(\d+(?:\.\d+)?)\.txt")
SHARE = ("read_pct_rounded", "read_pct", "rd_percentage", "read_percentage")
BANDWIDTH = ("bandwidth_mean", "bandwidth_gbps", "bandwidth", "bw", "bw_gbps")
LATENCY = ("latency_mean", "latency_ns", "latency", "lat", "lat_ns")
MBPS_FROM = 5000.0  # no memory has 5 TB/s, and none of interest less than 5 GB/s: above it, figures are MB/s
_COLUMNS = f"columns such as {SHARE[0]}, {BANDWIDTH[0]}, {LATENCY[0]}"


def is_header(words: list[str]) -> bool:
    """Do these words head a CSV of curves?"""
    low = {word.lower() for word in words}
    return all(low & set(names) for names in (SHARE, BANDWIDTH, LATENCY))


def read(path: str | Path) -> Measured:
    """The curve with the most reads, of a CSV, of a bwlat_NN.txt, or of a folder of these. Raises UserError."""
    path = Path(path)
    share, points = _of_folder(path) if path.is_dir() else _of_file(path)
    below = sum(gbps < 0 for gbps, _ in points)
    kept = sorted((gbps, ns) for gbps, ns in points if gbps >= 0)
    if len(kept) < 2:
        raise UserError(f"{len(kept)} points", str(path), "two at least, of bandwidth and latency")
    environment = {"instrument": "Mess", "reads": f"{share:g} %"}
    if below:
        environment["left out"] = f"{below} points of negative bandwidth, which smoothing has made"
    gbps, ns = np.array(kept).T
    return Measured([], Curve(gbps, ns, 1), environment)


def _of_folder(path: Path) -> tuple[float, list[tuple[float, float]]]:
    files = {float(found[1]): one for one in path.iterdir() if (found := NAME.fullmatch(one.name))}
    if not files:
        raise UserError("has no curves", str(path), "files named bwlat_NN.txt, NN the share of reads in percent")
    return _of_file(files[max(files)])


def _of_file(path: Path) -> tuple[float, list[tuple[float, float]]]:
    """The share of reads in percent, and its points in GB/s and ns."""
    rows = [(f"{path}:{count}", line) for count, line in enumerate(lines(path), 1) if line.strip()]
    header = fields(rows[0][1], rows[0][0])
    if is_header(header):
        share, points = _of_csv([word.lower() for word in header], rows[1:], str(path))
    else:
        named = NAME.fullmatch(path.name)
        share = float(named[1]) if named else 100.0
        points = [_pair(line, where) for where, line in rows if not line.lstrip().startswith("#")]
    scale = 1e3 if max((gbps for gbps, _ in points), default=0) > MBPS_FROM else 1.0
    return share, [(gbps / scale, ns) for gbps, ns in points]


def _pair(line: str, where: str) -> tuple[float, float]:
    words = line.replace(",", " ").split()
    if len(words) != 2:
        raise UserError(f"{len(words)} values", where, "2: bandwidth and latency")
    return number(words[0], where, "a bandwidth", -np.inf), number(words[1], where, "ns, a number above 0")


def _of_csv(header: list[str], rows: list[tuple[str, str]], file: str) -> tuple[float, list[tuple[float, float]]]:
    share, gbps, ns = (next(header.index(name) for name in names if name in header) for names in _NAMES)
    found: dict[float, list[tuple[float, float]]] = {}
    for where, line in rows:
        words = fields(line, where)
        if len(words) != len(header):
            raise UserError(f"{len(words)} values", where, f"{len(header)}, one for each column")
        reads = number(words[share], where, "a share of reads in percent", -1e-9)
        point = number(words[gbps], where, "GB/s", -np.inf), number(words[ns], where, "ns, a number above 0")
        found.setdefault(reads, []).append(point)
    if not found:
        raise UserError("has no rows", file, _COLUMNS)
    return max(found), found[max(found)]


_NAMES = (SHARE, BANDWIDTH, LATENCY)
