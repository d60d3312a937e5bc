"""Every measurement that is left out by the split, predicted and judged.

    python -m numasim.calibration.judge [-j JOBS] [pairs] [load] [machine] [programs]

fits anew without what is left out (some minutes; only these experiments, if any are named), writes
calibration/hosts/held_out.csv and calibration/discrepancy.toml, and prints how close the predictions came.
"""

import csv
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numasim.assets import shipped
from numasim.calibration import coverage, held_out, published
from numasim.calibration.held_out import Left
from numasim.machine.loading import names

RESULTS, DISCREPANCY = "held_out.csv", "discrepancy.toml"
HEAD = """\
# What a right machine would still get wrong: relative standard deviations by quantity, estimated from measurements
# that were left out of fits (docs/validation.md). [fitted] is for models fitted to their host, [sheet] for those from a
# specification sheet, [extrapolated] for those of which no other machine of the family was measured. Written by
# `python -m numasim.calibration.judge`.
"""


class Verdict(NamedTuple):
    """An experiment of the split, in per cent. rows: with a band.  median, worst: of the absolute errors.  fixed, md1:
    the baselines' medians.  beaten: share of bootstrap samples in which the simulation's mean error is below M/D/1's
    (nan: no such baseline).  listed: rows without a band."""

    experiment: str
    rows: int
    median: float
    worst: float
    fixed: float
    md1: float
    beaten: float
    band_median: float
    band_worst: float
    listed: list[Left]

    @property
    def good(self) -> bool:
        """Are both within their bands, and is M/D/1 beaten where it says something else than the constant?"""
        return self.median <= self.band_median and self.worst <= self.band_worst and not self.beaten < 0.95


EXPERIMENTS = ("machine", "pairs", "load", "programs")


def predict(jobs: int = 1, told: held_out.Report | None = None, experiments: Sequence[str] = EXPERIMENTS) -> list[Left]:
    """What the split leaves out in these experiments, predicted from the rest; `jobs` hosts at a time."""
    from joblib import Parallel, delayed

    split, known = held_out.split(), set(names())
    hosts = [name for name in published.names() if name in known]
    asked: list[tuple[Callable[..., list[Left]], tuple[object, ...]]] = [
        *((held_out.machine, (name,)) for name in hosts),
        *((held_out.pairs, (name,)) for name in split["pairs"]["hosts"]),
        *((held_out.load, (name, split["load"]["above"])) for name in hosts),
        *((held_out.programs, (name,)) for name in twice()),
    ]
    asked = [(make, words) for make, words in asked if make.__name__ in experiments]
    work = Parallel(n_jobs=jobs, return_as="generator")
    found: list[Left] = []
    for done, part in enumerate(work(delayed(make)(*words, _silent) for make, words in asked), 1):
        found += part
        if told:
            told("predicting what was left out", done / len(asked))
    return found


def twice() -> list[str]:
    """Hosts that were measured twice by the bundled benchmark, and have a model."""
    return sorted(path.parent.name for path in shipped("calibration/hosts").glob("*/B.json"))


def _silent(what: str, done: float) -> None:
    pass


def verdicts(lefts: Sequence[Left], seed: int = 1) -> list[Verdict]:
    """One an experiment."""
    split, found = held_out.split(), []
    for name in ("pairs", "load", "machine"):
        rows = [one for one in lefts if one.experiment == name]
        if name == "machine":
            families = set(split["machine"]["families"])
            rows = [
                one if one.family in families else one._replace(listed=one.listed or "another family") for one in rows
            ]
        banded = [one for one in rows if not one.listed]
        errors = np.array([abs(one.error) for one in banded])
        flat, queue = (
            np.array([100 * abs(getattr(one, field) / one.measured - 1) for one in banded])
            for field in ("fixed", "md1")
        )
        beaten = float("nan")
        if name == "load":
            rng = np.random.default_rng(seed)
            picks = rng.integers(0, len(banded), (4000, len(banded)))
            beaten = float(np.mean((errors[picks] - queue[picks]).mean(axis=1) < 0))
        told = (len(banded), float(np.median(errors)), float(errors.max()), float(np.nanmedian(flat)))
        bands = (split[name]["median"], split[name]["worst"])
        found.append(Verdict(name, *told, float(np.nanmedian(queue)), beaten, *bands, [o for o in rows if o.listed]))
    return found


def write(lefts: Iterable[Left], path: Path) -> None:
    """A row each, beside its place and put there in one step."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(Left._fields)
        table.writerows([f"{v:.5g}" if isinstance(v, float) else v for v in one] for one in lefts)
    part.replace(path)


def read(path: Path | None = None) -> list[Left]:
    """What `write` wrote; the shipped results if no path is given."""
    with (path or shipped("calibration/hosts") / RESULTS).open(newline="", encoding="utf-8") as lines:
        text = ("experiment", "host", "family", "quantity", "where", "listed")
        return [
            Left(**{key: value if key in text else float(value) for key, value in row.items()})  # type: ignore[arg-type]
            for row in csv.DictReader(lines)
        ]


def lines(lefts: Sequence[Left]) -> list[str]:
    """The verdicts and the intervals' coverage, for people."""
    out = [f"{'left out':<10} {'rows':>5} {'median':>8} {'worst':>8} {'band':>10} {'constant':>9} {'M/D/1':>8}"]
    for v in verdicts(lefts):
        band = f"{v.band_median:g} / {v.band_worst:g}"
        mark = "" if v.good else "   <- outside"
        ours = f"{v.experiment:<10} {v.rows:5} {v.median:6.1f} % {v.worst:6.1f} % {band:>8} %"
        out.append(f"{ours} {v.fixed:7.1f} % {v.md1:6.1f} %{mark}")
    c = coverage.coverage(coverage.covered(lefts))
    out.append(
        f"intervals of 90 %: {100 * c.share:.1f} % of {c.rows} inside (binomial test p = {c.p_value:.3f}; bootstrap"
        f" over hosts {100 * c.low:.0f} to {100 * c.high:.0f} %), median half-width {c.width:.1f} %, interval score"
        f" {c.score:.0f} against {c.constant:.0f} of a constant percentage"
    )
    out += [f"  {family}: {100 * share:.0f} % inside" for family, share in c.families.items()]
    return out


def main(words: list[str]) -> None:
    """Predict, write, print."""
    jobs = int(words[words.index("-j") + 1]) if "-j" in words else 2
    only = [word for word in words if word in EXPERIMENTS] or list(EXPERIMENTS)
    lefts = predict(jobs, lambda what, done: print(f"{what}: {100 * done:.0f} %", file=sys.stderr), only)
    if len(only) < len(EXPERIMENTS):
        lefts = [one for one in read() if one.experiment not in only] + lefts
    write(lefts, shipped("calibration/hosts") / RESULTS)
    text = HEAD
    fitted = ("pairs", "load", "programs")
    for table, kinds, extrapolated in (
        ("fitted", fitted, False), ("sheet", ("machine",), False), ("extrapolated", ("machine",), True),
    ):  # fmt: skip
        rows = [one for one in lefts if one.experiment in kinds and one.extrapolated == extrapolated]
        known = coverage.discrepancies(rows)
        text += f"\n[{table}]\n" + "".join(f"{key} = {value:.4f}\n" for key, value in known.items())
    (shipped("calibration/hosts").parent / DISCREPANCY).write_text(text, encoding="utf-8")
    print("\n".join(lines(lefts)))


if __name__ == "__main__":
    main(sys.argv[1:])
