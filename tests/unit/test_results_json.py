"""Is the JSON what docs/design.md and the schema say, and does a file give the same result back?"""

import json as standard
import os
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest

from numasim.engine.output import ACCESS_CAUSES, OPERATION_CAUSES
from numasim.errors import UserError
from numasim.results import Result, json
from unit.test_results_synthetic import PROVENANCE, REGIONS, SITES, Samples, raw_of, result_of, samples

RESULT = result_of(samples(seed=5))

TOP = {
    "access",
    "operation",
    "groups",
    "counters",
    "links",
    "memory",
    "simulated_ns",
    "partial",
    "host",
    "provenance",
    "detail",
}
LATENCIES = {"count", "mean_ns", "min_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns", "stack_ns"}


def plain(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = standard.loads(json.dumps(result))
    return found


def empty() -> Result:
    made = samples()
    return result_of(Samples(made.classes, [s[:0] for s in made.access], [s[:0] for s in made.operation]))


@pytest.mark.parametrize("result", [RESULT, result_of(samples(groups=1), ("list",)), empty()])
def test_it_holds_to_its_schema(result: Result) -> None:
    jsonschema.Draft202012Validator.check_schema(json.schema())
    jsonschema.validate(plain(result), json.schema(), jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "path",
    ["access", "access.p999_ns", "access.stack_ns.os", "host.cpu_s", "detail.classes", "groups.chaser.read_gbps"],
)
def test_the_schema_misses_a_missing_key(path: str) -> None:
    value = plain(RESULT)
    *parents, last = path.split(".")
    inner = value
    for key in parents:
        inner = inner[key]
    del inner[last]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, json.schema(), jsonschema.Draft202012Validator)


def test_keys_are_those_of_the_design() -> None:
    value = plain(RESULT)
    assert set(value) == TOP
    assert set(value["access"]) == set(value["operation"]) == LATENCIES
    assert tuple(value["access"]["stack_ns"]) == ACCESS_CAUSES
    assert tuple(value["operation"]["stack_ns"]) == OPERATION_CAUSES
    assert set(value["groups"]["chaser"]) == {"access", "operation", "read_gbps", "write_gbps"}
    assert value["groups"]["chaser"]["operation"] is None
    assert set(value["links"][0]) == {"from", "to", "gbps", "utilisation"}
    assert set(value["memory"][0]) == {"node", "read_gbps", "write_gbps", "utilisation"}
    assert set(value["host"]) == {"cpu_s", "accesses_per_cpu_s", "peak_rss_bytes"}
    assert value["provenance"] == PROVENANCE
    assert value["access"]["p999_ns"] == RESULT.access.percentile(99.9)
    assert sum(value["access"]["stack_ns"].values()) == pytest.approx(value["access"]["mean_ns"])


def test_a_file_gives_the_same_result_back(tmp_path: Path) -> None:
    json.write(RESULT, tmp_path / "run.json")
    back = json.read(tmp_path / "run.json")
    assert json.dumps(back) == json.dumps(RESULT)
    assert back.tail(99.9) == RESULT.tail(99.9)
    assert back.counters_by("site") == RESULT.counters_by("site")
    assert back.host == RESULT.host
    for name in back.raw._fields:
        one, other = getattr(back.raw, name), getattr(RESULT.raw, name)
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def test_an_empty_result_survives_a_file() -> None:
    assert json.dumps(json.loads(json.dumps(empty()))) == json.dumps(empty())


def test_the_detail_is_compact() -> None:
    many = json.dumps(result_of(samples(count=20_000)))
    assert len(many) < 100_000
    assert len(many.splitlines()) == len(TOP) + 2


def test_provenance_may_hold_paths_and_numpy_numbers() -> None:
    provenance = PROVENANCE | {"seed": np.int64(7), "file": Path("a.toml")}
    result = Result(raw_of(samples(count=10)), SITES, REGIONS, provenance)
    assert plain(result)["provenance"]["seed"] == 7
    assert plain(result)["provenance"]["file"] == "a.toml"


def test_writing_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    target.write_text("old")
    json.write(RESULT, target)
    assert os.listdir(tmp_path) == ["run.json"]
    (tmp_path / "fresh").touch()
    assert target.stat().st_mode == (tmp_path / "fresh").stat().st_mode
    json.read(target)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "run.json"
    target.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        json.write(RESULT, target)
    assert os.listdir(tmp_path) == ["run.json"]
    assert target.read_text() == "old"


def test_a_device_is_written_to_not_replaced(tmp_path: Path) -> None:
    json.write(RESULT, os.devnull)
    assert not Path(os.devnull).is_file()
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    json.write(RESULT, tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()


@pytest.mark.parametrize("path", [".", "nowhere/run.json"])
def test_where_nothing_can_be_written_is_known_before_the_run(path: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a file name"):
        json.check_writable(tmp_path / path)


def broken(**changes: Any) -> str:
    value = plain(RESULT)
    for path, change in changes.items():
        inner: Any = value
        *parents, last = path.split("__")
        for key in parents:
            inner = inner[int(key) if key.isdigit() else key]
        inner[last] = change
    return standard.dumps(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "{}",
        '{"access": {"count": 1}}',
        json.dumps(RESULT)[:-200],
        b"\xff\xfe\x00",
        broken(detail__version=99),
        broken(detail__regions=7),
        broken(detail__bucket_edges_ps=[1.0, 2.0]),
        broken(detail__event_names=["one"]),
        broken(detail__classes__0__group=9),
        broken(detail__classes__0__access__bucket=[-1]),
        broken(detail__classes__0__access__count=[1]),
        broken(detail__classes__0__access__ps={"nonsense": [1]}),
        broken(detail__classes__0__access__ps={"l1": 5}),
        broken(detail__groups__0__node_read_bytes=[1]),
        broken(detail__series__links=[[1, 2]]),
        broken(detail__simulated_ps=2**70),
        broken(detail__classes__0__access__max_ps=2**70),
    ],
)
def test_what_is_no_result_is_refused_in_a_line(text: str | bytes, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as error:
        json.read(file)
    assert str(file) in str(error.value)
    assert "written by `numasim run`" in str(error.value)
    assert "\n" not in str(error.value)


def test_no_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read: No such file"):
        json.read(tmp_path / "nothing.json")
