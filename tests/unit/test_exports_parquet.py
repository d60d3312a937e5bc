"""Does the Parquet table hold every sample once, and the numbers of the JSON?"""

import json as standard
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from numasim.engine.output import ACCESS_CAUSES, OPERATION_CAUSES
from numasim.errors import UserError
from numasim.results import exports, json
from numasim.results.exports import parquet
from unit.test_results_synthetic import PROVENANCE, Samples, result_of, samples

MADE = samples(seed=3)
RESULT = result_of(MADE)
JSON: dict[str, Any] = standard.loads(json.dumps(RESULT))
NAMES = [("chaser", "list.go Next: load e.next", "elements"), ("chaser", "sum += e.Value", "buffer [big]"),
         ("generators", "read stream", "buffer [big]")]  # fmt: skip


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("parquet") / "run.parquet"
    assert exports.write(RESULT, "parquet", path) == ()
    return pd.read_parquet(path)


def test_every_sample_is_in_its_bucket_once(frame: Any) -> None:
    for names, stacks in zip(NAMES, MADE.access, strict=True):
        group, site, region = names
        mine = frame[(frame["of"] == "access") & (frame.group == group) & (frame.site == site)]
        assert set(mine.region) == {region}
        latencies = stacks.sum(axis=1)
        for row in mine.itertuples():
            inside = (row.from_ps <= latencies) & (latencies < row.to_ps)
            assert (row.count, row.total_ps) == (inside.sum(), latencies[inside].sum())
            for k, cause in enumerate(ACCESS_CAUSES):
                assert getattr(row, f"{cause}_ps") == stacks[inside, k].sum()
        assert mine["count"].sum() == len(stacks)


def test_operations_have_no_site_and_no_region(frame: Any) -> None:
    mine = frame[frame["of"] == "operation"]
    assert set(mine.group) == {"generators"}
    assert mine.site.isna().all() and mine.region.isna().all()
    assert mine["count"].sum() == len(MADE.operation[1])


@pytest.mark.parametrize("of", ["access", "operation"])
def test_sums_are_those_of_the_json(frame: Any, of: str) -> None:
    mine, told = frame[frame["of"] == of], JSON[of]
    assert mine["count"].sum() == told["count"]
    assert mine.total_ps.sum() / told["count"] / 1000 == pytest.approx(told["mean_ns"], rel=1e-12)
    for cause, mean in told["stack_ns"].items():
        assert mine[f"{cause}_ps"].sum() / told["count"] / 1000 == pytest.approx(mean, rel=1e-12)
    causes = mine[[f"{cause}_ps" for cause in OPERATION_CAUSES]].sum(axis=1)
    assert (causes == mine.total_ps).all()


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    exports.write(RESULT, "parquet", tmp_path / "run.parquet")
    said = parquet.about(pq.read_schema(tmp_path / "run.parquet").metadata)
    assert said["provenance"] == PROVENANCE
    assert said["counters"] == JSON["counters"]
    limits = {(x["of"], x["group"], x["site"]): (x["min_ps"], x["max_ps"]) for x in said["limits"]}
    for (group, site, _), stacks in zip(NAMES, MADE.access, strict=True):
        latencies = stacks.sum(axis=1)
        assert limits["access", group, site] == (latencies.min(), latencies.max())


def test_an_empty_result_is_an_empty_table(tmp_path: Path) -> None:
    nothing = Samples(MADE.classes, [s[:0] for s in MADE.access], [s[:0] for s in MADE.operation])
    exports.write(result_of(nothing), "parquet", tmp_path / "run.parquet")
    found = pd.read_parquet(tmp_path / "run.parquet")
    assert len(found) == 0 and "link_wait_ps" in found


def test_a_result_read_from_its_file_gives_the_same_table() -> None:
    assert parquet.table(json.loads(json.dumps(RESULT))).equals(parquet.table(RESULT))


@pytest.mark.parametrize("kind", exports.KINDS)
def test_a_place_that_cannot_be_written_is_a_line(kind: str, tmp_path: Path) -> None:
    for place in ("", ".", "nowhere/run"):
        with pytest.raises(UserError, match="expected a file name"):
            exports.write(RESULT, kind, tmp_path / place if place else "")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", exports.KINDS)
def test_a_failed_write_leaves_the_old_file(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "run"
    target.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        exports.write(RESULT, kind, target)
    assert os.listdir(tmp_path) == ["run"]
    assert target.read_text() == "old"


@pytest.mark.parametrize("kind", exports.KINDS)
def test_a_file_is_replaced_a_device_written_to_a_link_kept(kind: str, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    exports.write(RESULT, kind, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").stat().st_size > 100
    (tmp_path / "fresh").touch()
    assert (tmp_path / "real").stat().st_mode == (tmp_path / "fresh").stat().st_mode
    exports.write(RESULT, kind, os.devnull)
    assert not Path(os.devnull).is_file()
    assert sorted(os.listdir(tmp_path)) == ["fresh", "link", "real"]


def test_an_unknown_kind_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="parquet or hgrm or perfetto"):
        exports.write(RESULT, "csv", tmp_path / "run.csv")


def test_numbers_are_whole(frame: Any) -> None:
    assert {str(frame[name].dtype) for name in frame if name.endswith(("_ps", "count"))} == {"int64"}
    assert np.all(frame.from_ps < frame.to_ps)
