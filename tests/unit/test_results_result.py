"""Do groups, call sites and regions add up to the whole, and are rates what the bytes say?"""

import numpy as np
import pytest

from numasim.errors import UserError
from numasim.results import Result
from numasim.results.compact import compact
from unit.test_results_synthetic import EVENTS, PROVENANCE, REGIONS, SITES, Samples, raw_of, result_of, samples

MADE = samples(seed=3)
RESULT = result_of(MADE)


def test_the_whole_is_every_access_of_every_class() -> None:
    everything = np.concatenate(MADE.access)
    assert RESULT.access.count == len(everything)
    assert RESULT.access.total_ps == everything.sum()
    assert RESULT.access.min_ns == everything.sum(axis=1).min() / 1000
    assert RESULT.access.max_ns == everything.sum(axis=1).max() / 1000
    assert list(RESULT.access.stack_ps.values()) == everything.sum(axis=0).tolist()


def test_a_group_is_its_own_classes_only() -> None:
    chaser, generators = RESULT.groups["chaser"], RESULT.groups["generators"]
    assert chaser.access.count == len(MADE.access[0]) + len(MADE.access[1])
    assert generators.access.total_ps == MADE.access[2].sum()
    assert generators.access.max_ns == MADE.access[2].sum(axis=1).max() / 1000
    assert chaser.access.total_ps + generators.access.total_ps == RESULT.access.total_ps


def test_a_program_without_operations_has_none() -> None:
    assert RESULT.groups["chaser"].operation is None
    operation = RESULT.groups["generators"].operation
    assert operation is not None
    assert operation.total_ps == MADE.operation[1].sum()
    assert operation.causes[-2:] == ("branch", "compute")
    assert RESULT.operation is not None
    assert RESULT.operation.total_ps == operation.total_ps


@pytest.mark.parametrize("above", [0, 50, 99, 99.9, 100])
@pytest.mark.parametrize(("of", "group"), [("access", None), ("access", "chaser"), ("operation", None)])
def test_the_rows_of_a_tail_add_up_to_its_stack(above: float, of: str, group: str | None) -> None:
    assert of in ("access", "operation")
    rows = RESULT.tail(above, group, of)  # type: ignore[arg-type]
    whole = RESULT.distribution(of, group)  # type: ignore[arg-type]
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert sum(row.samples for row in rows) == pytest.approx(whole.tail_count(above))
    if above == 0:
        assert sum(row.share_of_all for row in rows) == pytest.approx(1)
    for cause, value in RESULT.stack(above, group, of).items():  # type: ignore[arg-type]
        assert sum(row.stack_ns[cause] * row.share for row in rows) == pytest.approx(value)
    for row in rows:
        assert sum(row.stack_ns.values()) == pytest.approx(row.mean_ns)


def by_hand() -> Result:
    """100 accesses of 2 ns at each of three places; at the second, 4 of them wait 98 ns longer for a link."""
    access = [np.zeros((100, 15), dtype=np.int64) for _ in range(3)]
    for stacks in access:
        stacks[:, 0] = 2000
    access[1][:4, 7] = 98_000
    access[2][:2, 10] = 198_000
    operation = [np.zeros((0, 17), dtype=np.int64)] * 2
    return result_of(Samples([(0, 0, 0), (0, 1, 1), (1, 0, 1)], access, operation))


def test_a_tail_by_hand() -> None:
    # the slowest 2 % of 300 are 6: four at site 1 of 100 ns, two at the generators' site 0 of 200 ns
    rows = by_hand().tail(98)
    assert [(row.group, row.site, row.region) for row in rows] == [
        ("chaser", "sum += e.Value", "buffer [big]"),
        ("generators", "read stream", "buffer [big]"),
    ]
    assert [row.samples for row in rows] == [4, 2]
    assert [row.share for row in rows] == pytest.approx([4 / 6, 2 / 6])
    assert [row.share_of_all for row in rows] == pytest.approx([1 / 3, 1 / 3])
    assert [row.mean_ns for row in rows] == pytest.approx([100, 200])
    assert rows[0].stack_ns["link_wait"] == pytest.approx(98)
    stack = by_hand().stack(above=98)
    assert stack["link_wait"] == pytest.approx(4 * 98 / 6)
    assert stack["memory"] == pytest.approx(2 * 198 / 6)
    assert by_hand().stack(98, group="generators")["memory"] == pytest.approx(198)


def test_a_tail_by_region_merges_groups_and_sites() -> None:
    rows = by_hand().tail(98, by=("region",))
    assert [(row.group, row.site, row.region, row.samples) for row in rows] == [("", "", "buffer [big]", 6)]


def test_counters_add_up_however_they_are_split() -> None:
    assert RESULT.counters == {e: int(RESULT.raw.counters[:, i].sum()) for i, e in enumerate(EVENTS)}
    for split in (RESULT.counters_by("group"), RESULT.counters_by("site"), RESULT.counters_by("region")):
        assert {e: sum(part[e] for part in split.values()) for e in EVENTS} == RESULT.counters
    assert set(RESULT.counters_by("region")) == set(REGIONS)
    assert RESULT.groups["generators"].counters == RESULT.counters_by("group")["generators"]


def test_rates_and_utilisation_follow_from_bytes_and_time() -> None:
    link, idle = RESULT.links
    assert (link.source, link.target, link.link) == ("socket0", "socket1", "upi")
    assert link.gbps == pytest.approx(10)  # 1 MB in 100 us
    assert link.utilisation == pytest.approx(1 / 6)
    assert link.series.mean() == pytest.approx(link.utilisation)
    assert (idle.gbps, idle.utilisation) == (0, 0)
    nothing, memory = RESULT.memory
    assert memory.node == 1
    assert (memory.read_gbps, memory.write_gbps) == pytest.approx((40, 10))
    assert memory.utilisation == pytest.approx(0.5)  # 25 and 75 of 100 us
    assert memory.series == pytest.approx(np.full(100, 0.5))
    assert nothing.node == 0
    assert nothing.read_gbps == pytest.approx(1.28)  # no channel reported: what it served
    group = RESULT.groups["chaser"]
    assert (group.read_gbps, group.write_gbps) == pytest.approx((80, 20))  # in 50 us


def test_compacting_changes_no_answer_and_happens_once() -> None:
    raw = raw_of(MADE)
    assert RESULT.raw.access_rows.shape[1] < raw.access_rows.shape[1] / 2
    assert RESULT.raw.link_series.shape == (2, 100)
    again = compact(RESULT.raw)
    assert np.array_equal(again.access_rows, RESULT.raw.access_rows)
    assert np.array_equal(again.bucket_edges_ps, RESULT.raw.bucket_edges_ps)
    used = np.asarray(raw.access_rows[:, :, -1].any(axis=0))
    kept = np.asarray(RESULT.raw.access_rows[:, :, -1].any(axis=0))
    for side in (0, 1):
        before = raw.bucket_edges_ps[side : used.size + side][used]
        assert set(before) <= set(RESULT.raw.bucket_edges_ps[side : kept.size + side])


def test_an_endless_last_bucket_ends_at_the_slowest() -> None:
    raw = raw_of(MADE)
    last = int(np.flatnonzero(raw.access_rows[:, :, -1].any(axis=0))[-1]) + 1
    endless = raw._replace(
        bucket_edges_ps=np.r_[raw.bucket_edges_ps[:last], np.inf],
        access_rows=raw.access_rows[:, :last],
        op_rows=raw.op_rows[:, :last],
    )
    result = Result(endless, SITES, REGIONS, PROVENANCE)
    assert np.isfinite(result.raw.bucket_edges_ps).all()
    assert result.access.percentile(100) == RESULT.access.max_ns


def test_a_run_that_counted_nothing_is_a_result_too() -> None:
    empty = [stacks[:0] for stacks in MADE.access]
    result = result_of(Samples(MADE.classes, empty, [stacks[:0] for stacks in MADE.operation]))
    assert result.access.count == 0
    assert result.operation is None
    assert result.tail(99.9) == []


def test_unnamed_sites_and_regions_are_numbered() -> None:
    made = Samples([(0, 7, -1), (0, 9, 5)], MADE.access[:2], MADE.operation[:1])
    result = Result(raw_of(made, ["list"]), [["only one"]], [], PROVENANCE)
    assert set(result.counters_by("site")) == {"site 7", "site 9"}
    assert set(result.counters_by("region")) == {"no region", "region 5"}


def test_what_is_not_there_is_a_users_error() -> None:
    with pytest.raises(UserError, match="chaser or generators"):
        RESULT.stack(99, group="nobody")
    with pytest.raises(UserError, match="no operations were counted"):
        RESULT.stack(99, group="chaser", of="operation")
    with pytest.raises(UserError, match="no percentile"):
        RESULT.stack(101)


def test_host_tells_speed_and_memory() -> None:
    assert RESULT.host.cpu_s == 0.5
    assert RESULT.host.accesses_per_cpu_s == 36_000
    assert RESULT.host.peak_rss_bytes > 2**20
