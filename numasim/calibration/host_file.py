"""What was measured of a real host: the file of `numasim measure`, and its reader.

calibration/native/README.md says what each experiment's keys, samples and facts are.
"""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from numasim.errors import UserError
from numasim.results.files import replacing

FORMAT, VERSION = "numasim-host", 1
RAN = 0.98  # share of a repetition for which threads must have run for it to be undisturbed
ABOVE_0 = ("latency_ns", "step_ns", "handover_ns", "split_ns", "core_ghz")
_EXPECTED = "a file written by `numasim measure -o`, or by run.sh of `numasim measure --emit`"
Keys = dict[str, int | float | str]


class Sample(msgspec.Struct, frozen=True):
    """One quantity, in the unit its name ends with: all repetitions of all rounds, and what they are like.

    mad: the median absolute deviation from the median. quiet: the median of the repetitions in which no thread of the
    program had to give way to another, and all ran; None if there are none. None in `raw`: no number came out.
    """

    raw: list[float | None]
    median: float | None
    mad: float | None
    p10: float | None
    p90: float | None
    min: float | None
    max: float | None
    quiet: float | None


class Histogram(msgspec.Struct, frozen=True):
    """Counts of whole ticks of `unit_ns`: buckets are [low, high, count], low and high included."""

    unit_ns: float
    count: int
    sum: float
    min: int
    max: int
    buckets: list[tuple[int, int, int]]


class Measurement(msgspec.Struct, frozen=True):
    """One experiment with one set of keys. rounds: the round each repetition is of."""

    experiment: str
    keys: Keys
    samples: dict[str, Sample]
    histograms: dict[str, Histogram]
    facts: dict[str, Any]
    rounds: list[int]
    seconds: float


class Skipped(msgspec.Struct, frozen=True):
    """What was not measured, and why. keys: "size=2147483648 pages=1g"."""

    experiment: str
    keys: str
    why: str


class MadeBy(msgspec.Struct, frozen=True):
    """The program that measured. native: SHA-256 of its sources."""

    numasim: str
    native: str
    compiler: str
    flags: str


class Protocol(msgspec.Struct, frozen=True):
    """What was asked for. sha256: of the protocol's plan; only: the experiments it was cut down to."""

    name: str
    sha256: str
    rounds: int
    only: list[str]


class CpuUse(msgspec.Struct, frozen=True):
    """What a CPU did while it was measured: shares of the time that passed."""

    cpu: int
    busy_share: float
    stolen_share: float


class During(msgspec.Struct, frozen=True):
    """The host while it was measured. load_1m: the load average before and after."""

    load_1m: list[float]
    cpus: list[CpuUse]


class HostFile(msgspec.Struct, frozen=True):
    """All of it. host: as `numasim-native host` prints it, before the first experiment."""

    format: str
    version: int
    made_by: MadeBy
    protocol: Protocol
    label: str
    begun: str
    seconds: float
    partial: bool
    host: dict[str, Any]
    during: During
    measurements: list[Measurement]
    skipped: list[Skipped]

    def of(self, experiment: str) -> list[Measurement]:
        """The measurements of one experiment, in the order they were taken."""
        return [one for one in self.measurements if one.experiment == experiment]


class Begin(msgspec.Struct, frozen=True):
    """The first of the lines that become a file."""

    format: str
    version: int
    made_by: MadeBy
    protocol: Protocol
    label: str
    begun: str
    host: dict[str, Any]


class _Run(msgspec.Struct, frozen=True):
    """What an experiment prints, with its round."""

    round: int
    experiment: str
    keys: Keys
    seconds: float
    samples: dict[str, list[float | None]] = {}
    histograms: dict[str, Histogram] = {}
    facts: dict[str, Any] = {}
    timer: dict[str, Any] = {}
    skipped: str = ""


class _Line(msgspec.Struct, frozen=True):
    """A line that is no run."""

    begin: Begin | None = None
    skip: str | None = None
    why: str = ""
    end: dict[str, Any] | None = None


def read(path: str | Path) -> HostFile:
    """A measured host. Raises UserError, which names the place in the file, if it is none."""
    where = str(path)
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise UserError(error.strerror or "cannot be read", where, _EXPECTED) from None
    if not text.strip():
        raise UserError("is empty", where, _EXPECTED)
    first = text.lstrip().split(b"\n", 1)[0]
    if first.startswith(b'{"begin"'):
        return from_lines(text.split(b"\n"), where)
    _check_kind(text, where)
    try:
        found = msgspec.json.decode(text, type=HostFile)
    except msgspec.DecodeError as error:
        raise UserError(_told(error), where, _EXPECTED) from None
    for number, one in enumerate(found.measurements):
        for name, sample in one.samples.items():
            told = (sample.median, sample.p10, sample.p90, sample.quiet)
            _check_values(name, (*sample.raw, *told), f"{where}: measurements[{number}]")
            if len(sample.raw) != len(one.rounds):
                place = f"measurements[{number}].samples.{name}.raw"
                raise UserError(
                    f"{place} has {len(sample.raw)} values", where, f"{len(one.rounds)}, as rounds says of them"
                )
    return found


def write(file: HostFile, path: str | Path) -> None:
    """Write it, all or nothing: beside, then renamed. Raises UserError if it cannot."""
    with replacing(path) as beside:
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n")


def _check_kind(text: bytes, where: str) -> None:
    """Says what is no JSON, and what is the JSON of something else, before details are looked at."""
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"line {error.lineno} is no JSON: {error.msg}", where, _EXPECTED) from None
    except (UnicodeDecodeError, RecursionError):
        raise UserError("is no JSON", where, _EXPECTED) from None
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise UserError("is the JSON of something else", where, f'"format": "{FORMAT}", {_EXPECTED}')
    if plain.get("version") != VERSION:
        raise UserError(f"has version {plain.get('version')!r}", where, f"version {VERSION}; measure again, or update")


def _told(error: msgspec.DecodeError) -> str:
    return str(error).replace(" - at `$.", " at ").replace("`", "")


def from_lines(lines: Iterable[bytes], where: str) -> HostFile:
    """The file made of lines: first `begin`, then runs and skips, last `end`. Without `end` it is partial.

    where: what errors call the source. Raises UserError with the number of a line that is wrong.
    """
    begin: Begin | None = None
    end: dict[str, Any] | None = None
    runs: list[_Run] = []
    skipped: list[Skipped] = []
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        place = f"{where}:{number}"
        if begin is None:
            begin = _begin(text, place)
        elif text.startswith(b'{"round"'):
            run = _decode(text, _Run, place)
            if run.skipped:
                words = " ".join(f"{key}={value}" for key, value in run.keys.items())
                skipped.append(Skipped(run.experiment, words, run.skipped))
            else:
                _check_run(run, place)
                runs.append(run)
        else:
            line = _decode(text, _Line, place)
            if line.skip is not None:
                experiment, _, words = line.skip.partition(" ")
                skipped.append(Skipped(experiment, words, line.why))
            elif line.end is not None:
                end = line.end
            else:
                raise UserError("is neither a run nor skip nor end", place, _EXPECTED)
    if begin is None:
        raise UserError("is empty", where, _EXPECTED)
    return _assembled(begin, runs, skipped, end)


def _begin(text: bytes, place: str) -> Begin:
    begin: Begin | None = _decode(text, _Line, place).begin
    if begin is None or begin.format != FORMAT:
        raise UserError("does not begin as such a file", place, _EXPECTED)
    if begin.version != VERSION:
        raise UserError(f"has version {begin.version}", place, f"version {VERSION}; measure again, or update")
    return begin


def _decode(text: bytes, kind: Any, place: str) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        _wrong(error, place)


def _wrong(error: msgspec.DecodeError, place: str) -> NoReturn:
    raise UserError(_told(error), place, _EXPECTED) from None


def _check_run(run: _Run, place: str) -> None:
    counts = {name: len(values) for name, values in run.samples.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise UserError(f"has samples of different numbers: {counts}", place, "as many of each, one at least")
    for name, values in run.samples.items():
        _check_values(name, values, place)


def _check_values(name: str, values: Iterable[float | None], place: str) -> None:
    """Nothing takes less than no time, and what a fit aims at takes some. Raises UserError."""
    for value in values:
        if value is not None and (value < 0 or (value == 0 and name in ABOVE_0)):
            raise UserError(f"{name} has {value:g}", place, "numbers above 0")


def _assembled(begin: Begin, runs: Sequence[_Run], skipped: Sequence[Skipped], end: dict[str, Any] | None) -> HostFile:
    groups: dict[bytes, list[_Run]] = {}
    for run in runs:
        groups.setdefault(msgspec.json.encode([run.experiment, run.keys]), []).append(run)
    unique = list({(one.experiment, one.keys, one.why): one for one in skipped}.values())
    fields = {
        name: getattr(begin, name) for name in ("format", "version", "made_by", "protocol", "label", "begun", "host")
    }
    after = end or {}
    seconds = sum(run.seconds for run in runs)
    if end:
        seconds = float(after.get("monotonic_s", 0)) - float(begin.host.get("monotonic_s", 0))
    return HostFile(
        **fields,
        seconds=round(seconds, 3),
        partial=end is None,
        during=_during(begin.host, after),
        measurements=[_measurement(group) for group in groups.values()],
        skipped=unique,
    )


def _measurement(group: Sequence[_Run]) -> Measurement:
    first = group[0]
    names = [name for name in first.samples if all(name in run.samples for run in group)]
    raw = {name: [value for run in group for value in run.samples[name]] for name in names}
    gave_way, ran = raw.get("preempted", []), raw.get("ran_share", [])
    calm = [
        switches == 0 and share is not None and share >= RAN for switches, share in zip(gave_way, ran, strict=False)
    ]
    return Measurement(
        experiment=first.experiment,
        keys=first.keys,
        samples={name: summarised(values, calm) for name, values in raw.items()},
        histograms={name: _sum([run.histograms[name] for run in group]) for name in first.histograms},
        facts=first.facts,
        rounds=[run.round for run in group for _ in next(iter(run.samples.values()))],
        seconds=round(sum(run.seconds for run in group), 3),
    )


def summarised(raw: list[float | None], calm: Sequence[bool] = ()) -> Sample:
    """The sample of these values. calm: which of them `quiet` is the median of.

    Quantiles are interpolated between the values next to them.
    """
    values = sorted(value for value in raw if value is not None)
    if not values:
        return Sample(raw, None, None, None, None, None, None, None)
    median = statistics.median(values)
    quiet = [value for value, fits in zip(raw, calm, strict=False) if fits and value is not None]
    return Sample(
        raw=raw,
        median=median,
        mad=statistics.median(abs(value - median) for value in values),
        p10=_quantile(values, 0.1),
        p90=_quantile(values, 0.9),
        min=values[0],
        max=values[-1],
        quiet=statistics.median(quiet) if quiet else None,
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _sum(histograms: Sequence[Histogram]) -> Histogram:
    """Rounds together. Their ticks differ by what two calibrations of the same clock differ by: the first's is kept."""
    counts: dict[tuple[int, int], int] = {}
    for one in histograms:
        for low, high, count in one.buckets:
            counts[low, high] = counts.get((low, high), 0) + count
    filled = [one for one in histograms if one.count] or [histograms[0]]
    return Histogram(
        unit_ns=histograms[0].unit_ns,
        count=sum(one.count for one in histograms),
        sum=sum(one.sum for one in histograms),
        min=min(one.min for one in filled),
        max=max(one.max for one in filled),
        buckets=[(low, high, count) for (low, high), count in sorted(counts.items())],
    )


def _during(before: dict[str, Any], after: dict[str, Any]) -> During:
    """Shares of the ticks that /proc/stat counted between the two."""
    loads = [float(host["load_1m"]) for host in (before, after) if isinstance(host.get("load_1m"), int | float)]
    then = _ticks(before)
    uses = []
    for cpu, now in _ticks(after).items():
        busy, idle, stolen = (now[i] - then.get(cpu, now)[i] for i in range(3))
        passed = busy + idle + stolen
        if passed > 0:
            uses.append(CpuUse(cpu, round(busy / passed, 5), round(stolen / passed, 5)))
    return During(loads, uses)


def _ticks(host: dict[str, Any]) -> dict[int, tuple[float, float, float]]:
    stat = host.get("stat")
    cpus = stat.get("cpus", []) if isinstance(stat, dict) else []
    return {int(one["cpu"]): (float(one["busy"]), float(one["idle"]), float(one["stolen"])) for one in cpus}
