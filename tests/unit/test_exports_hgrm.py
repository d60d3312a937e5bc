"""Is the .hgrm text what HdrHistogram itself prints of the same samples, within the histograms' resolution?"""

import io
import json as standard
import math
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

from numasim.errors import UserError
from numasim.results import exports, json
from unit.test_results_synthetic import Samples, result_of, samples

MADE = samples(seed=9)
RESULT = result_of(MADE)
Line = tuple[float, float, int]  # value in ns, level, total count


def written(path: Path, **options: str) -> str:
    exports.write(RESULT, "hgrm", path, **options)  # type: ignore[arg-type]
    return path.read_text()


def lines_of(text: str) -> list[Line]:
    """The lines of numbers, as any reader of this format takes them apart."""
    found = [line.split() for line in text.splitlines() if re.match(r"\s*\d", line)]
    for words in found[:-1]:
        level = float(words[1])
        assert float(words[3]) == pytest.approx(1 / (1 - level), rel=1e-4, abs=0.006)
    assert len(found[-1]) == 3
    return [(float(words[0]), float(words[1]), int(words[2])) for words in found]


def plotted(text: str) -> list[tuple[float, float]]:
    """(1/(1-percentile), value): what HdrHistogram's plotFiles.html keeps: lines of four words that are numbers."""
    points = []
    for line in text.split("\n"):
        words = line.split()
        if not line.startswith("#") and len(words) == 4 and words[0] != "Value":
            points.append((float(words[3]), float(words[0])))
    return points


def hdr(latencies_ps: npt.NDArray[np.int64]) -> HdrHistogram:
    made = HdrHistogram(1, 10**11, 3)
    for latency in latencies_ps.tolist():
        made.record_value(latency)
    return made


def printed(histogram: HdrHistogram) -> str:
    out = io.BytesIO()
    histogram.output_percentile_distribution(out, 1000)
    return out.getvalue().decode()


@pytest.mark.parametrize(
    ("options", "stacks"),
    [
        ({}, MADE.access),
        ({"group": "chaser"}, MADE.access[:2]),
        ({"of": "operation"}, MADE.operation),
        ({"of": "operation", "group": "generators"}, MADE.operation[1:]),
    ],
)
def test_hdrhistogram_prints_the_same(options: dict[str, str], stacks: list[object], tmp_path: Path) -> None:
    latencies = np.sort(np.concatenate([s.sum(axis=1) for s in stacks]))  # type: ignore[attr-defined]
    theirs_text = printed(hdr(latencies))
    ours_text = written(tmp_path / "run.hgrm", **options)
    ours, theirs = lines_of(ours_text), lines_of(theirs_text)
    whole = RESULT.distribution(**options)  # type: ignore[arg-type]
    for value_ns, level, _ in theirs:
        assert whole.percentile(100 * level) == pytest.approx(value_ns, rel=0.012)  # 1 % of ours, 0.1 % of theirs
    for value_ns, level, upto in ours:
        rank = max(1, math.ceil(level * len(latencies) - 1e-6))
        assert upto >= rank
        assert value_ns * 1000 == pytest.approx(latencies[rank - 1], rel=0.01, abs=1)
        assert np.sum(latencies <= value_ns * 1000 / 1.016) <= upto <= np.sum(latencies <= value_ns * 1000 * 1.016)
    assert ours[-1] == (latencies[-1] / 1000, 1.0, len(latencies))
    assert ours_text.splitlines()[0].split() == theirs_text.splitlines()[0].split()


def test_the_totals_are_exact(tmp_path: Path) -> None:
    latencies = np.concatenate([s.sum(axis=1) for s in MADE.access]) / 1000
    mean, deviation, most, total = map(
        float, re.findall(r"= +([\d.]+)", "".join(written(tmp_path / "x").splitlines()[-3:-1]))
    )
    assert mean == pytest.approx(latencies.mean(), abs=5e-4)
    assert deviation == pytest.approx(latencies.std(), rel=0.01)
    assert (most, total) == (round(latencies.max(), 3), len(latencies))


def test_percentiles_are_those_of_the_json(tmp_path: Path) -> None:
    told = standard.loads(json.dumps(RESULT))["access"]
    at = {level: value for value, level, _ in lines_of(written(tmp_path / "x"))}
    assert at[0.0] == pytest.approx(told["min_ns"], abs=5e-4)
    assert at[0.5] == pytest.approx(told["p50_ns"], abs=5e-4)
    assert at[0.9] == pytest.approx(told["p90_ns"], abs=5e-4)
    assert at[1.0] == pytest.approx(told["max_ns"], abs=5e-4)


def test_a_histogram_made_of_the_file_has_the_same_percentiles(tmp_path: Path) -> None:
    """The lines are enough to rebuild an HdrHistogram, and survive its encoding: it prints their values."""
    made, before = HdrHistogram(1, 10**11, 3), 0
    lines = lines_of(written(tmp_path / "x"))
    for value_ns, _, upto in lines:
        if upto > before:
            made.record_value(round(value_ns * 1000), upto - before)
        before = max(before, upto)
    read = HdrHistogram.decode(made.encode())
    assert read.get_total_count() == sum(map(len, MADE.access))
    for value_ns, level, _ in lines_of(printed(read)):
        kept = next(value for value, _, upto in lines if upto >= level * lines[-1][2] - 1e-6)
        assert value_ns == pytest.approx(kept, rel=0.0015)


def test_levels_are_hdrhistograms(tmp_path: Path) -> None:
    """As in the example that comes with HdrHistogram's plotter: five steps for each halving of what is left."""
    levels = [level for _, level, _ in lines_of(written(tmp_path / "x"))]
    known = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.775, 0.8, 0.825, 0.85, 0.875, 0.8875, 0.9]
    known += [0.9125, 0.925, 0.9375, 0.94375, 0.95, 0.95625, 0.9625, 0.96875, 0.971875, 0.975, 0.978125, 0.98125]
    assert levels[: len(known)] == known


def test_the_plotter_sees_rising_points(tmp_path: Path) -> None:
    points = plotted(written(tmp_path / "x"))
    assert len(points) > 40
    assert points == sorted(points)
    assert points[0][0] == 1.0


def test_one_sample_is_a_distribution(tmp_path: Path) -> None:
    one = Samples(MADE.classes[:1], [MADE.access[0][:1]], [MADE.operation[0]])
    exports.write(result_of(one, ("chaser",)), "hgrm", tmp_path / "x")
    value = MADE.access[0][0].sum() / 1000
    assert lines_of((tmp_path / "x").read_text()) == [(value, 0.0, 1), (value, 1.0, 1)]


def test_it_says_whose_latencies_they_are(tmp_path: Path) -> None:
    assert "all 2 groups" in exports.write(RESULT, "hgrm", tmp_path / "x")[0]
    assert exports.write(RESULT, "hgrm", tmp_path / "x", group="chaser") == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "operation", "group": "chaser"}, "no operations were counted"),
        ({"group": "nobody"}, "no group 'nobody'"),
    ],
)
def test_what_is_not_there_is_a_line(options: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        exports.write(RESULT, "hgrm", tmp_path / "x", **options)  # type: ignore[arg-type]
    nothing = Samples(MADE.classes, [s[:0] for s in MADE.access], [s[:0] for s in MADE.operation])
    with pytest.raises(UserError, match="no access was counted"):
        exports.write(result_of(nothing), "hgrm", tmp_path / "x")
    assert not list(tmp_path.iterdir())
