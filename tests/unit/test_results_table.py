"""Does what the terminal shows fit it, and are its numbers those of the result?"""

import io

import numpy as np
import pytest

from numasim.errors import UserError
from numasim.results import Result, figures, report, table
from unit.test_results_synthetic import PROVENANCE, REGIONS, SITES, Samples, random_stacks, raw_of, result_of, samples

TWO_GROUPS = result_of(samples(seed=7, count=5000))
OPERATIONS = random_stacks(np.random.default_rng(8), 2000, 17)
ONE_GROUP = result_of(Samples([(0, 0, 0), (0, 1, 1)], samples(8).access[:2], [OPERATIONS]), ["list"])


def printed(result: Result, width: int = 80) -> str:
    file = io.StringIO()
    table.show(result, figures.console(file, width))
    return file.getvalue()


def reported(result: Result, above: float, width: int = 80, **options: str) -> str:
    file = io.StringIO()
    report.show(result, above, figures.console(file, width), **options)  # type: ignore[arg-type]
    return file.getvalue()


def row(text: str, first: str) -> str:
    """The one line that begins so."""
    (found,) = [line for line in text.splitlines() if line.startswith(first)]
    return " ".join(found.split())


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("result", [ONE_GROUP, TWO_GROUPS])
def test_it_fits_the_terminal_and_cuts_no_number(result: Result, width: int) -> None:
    for text in (printed(result, width), reported(result, 99.9, width)):
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text or width < 80


def test_80_columns_hold_a_heading_in_a_line() -> None:
    assert "cause      mean ns  share" in printed(ONE_GROUP)
    assert "slowest 0.1 %, ns  share" in printed(ONE_GROUP)


def test_the_parts_of_a_run_are_there_in_order() -> None:
    text = printed(ONE_GROUP)
    parts = [
        PROVENANCE["title"][:60],
        "An operation takes",
        "An access takes",
        "Latency",
        "Where the time went, an operation",
        "Where the time went, an access",
        "Counters",
        "Links (1 more idle)",
        "Memory",
        "Simulated 18,000 accesses (6,000 counted, 100 us of the machine's time)",
    ]
    flat = " ".join(text.split())
    places = [flat.index(part) for part in parts]
    assert places == sorted(places)
    assert "36 k accesses a CPU second" in flat
    assert "in 0.50 s of CPU" in flat


def test_latencies_are_the_results() -> None:
    access = ONE_GROUP.access
    cells = [figures.ns(access.mean_ns), *(figures.ns(access.percentile(p)) for p in (50, 90, 99, 99.9))]
    assert row(printed(ONE_GROUP), "access ") == " ".join(["access", *cells, figures.ns(access.max_ns), "6,000"])


def test_causes_are_the_results_largest_first_and_sum_up() -> None:
    text = printed(ONE_GROUP)
    access = text[text.index("went, an access") : text.index("Counters")]
    stack = ONE_GROUP.access.stack_ns
    names = [line.split()[0] for line in access.splitlines()[2:] if line.strip()]
    assert names[:-1] == sorted((c for c in stack if stack[c]), key=lambda c: -stack[c])
    share = figures.percent(stack["memory"] / ONE_GROUP.access.mean_ns)
    assert row(access, "memory ").startswith(f"memory {figures.ns(stack['memory'])} {share} █")
    assert row(access, "sum ").startswith(f"sum {figures.ns(ONE_GROUP.access.mean_ns)} ")


def test_small_causes_share_a_line() -> None:
    stacks = np.zeros((1000, 15), dtype=np.int64)
    stacks[:, 10], stacks[:, 0], stacks[:, 1] = 1_000_000, 100, 200
    made = Samples([(0, 0, 0)], [stacks], [np.zeros((0, 17), dtype=np.int64)])
    text = printed(result_of(made, ["list"]))
    assert row(text, "other ").startswith("other 0.30 <0.1 %")
    assert "l1 " not in text


def test_groups_are_shown_when_there_are_several() -> None:
    assert "chaser: An access takes" in printed(TWO_GROUPS)
    assert row(printed(TWO_GROUPS), "generators operation")
    assert row(printed(TWO_GROUPS), "chaser   ") == "chaser 80.00 20.00"
    assert "Moved by group" not in printed(ONE_GROUP)


def test_counters_links_and_memory_by_hand() -> None:
    text = printed(ONE_GROUP)
    assert row(text, "instructions ") == "instructions 101 0.01683"
    assert "never" not in text
    assert row(text, "socket0 -> socket1").startswith("socket0 -> socket1 (upi) 10.00 17 % ▂")
    assert row(text, "1   ").startswith("1 40.00 10.00 50 % ▅")


def test_a_stopped_run_says_so_and_notes_are_printed() -> None:
    raw = raw_of(samples(count=100))._replace(partial=True)
    text = printed(Result(raw, SITES, REGIONS, PROVENANCE | {"notes": ["dependence=chain was assumed"]}))
    assert "Stopped before its end" in text
    assert "dependence=chain was assumed" in text


def test_a_run_that_counted_nothing_says_so() -> None:
    made = samples()
    nothing = result_of(Samples(made.classes, [s[:0] for s in made.access], [s[:0] for s in made.operation]))
    assert "Nothing was counted." in printed(nothing)
    assert "Nothing was counted." in reported(nothing, 99.9)


def test_names_in_brackets_are_no_markup() -> None:
    assert "buffer [big]" in reported(TWO_GROUPS, 99)


def test_a_terminal_without_blocks_gets_signs_it_has() -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    file = Ascii()
    table.show(ONE_GROUP, figures.console(file, 80))
    assert file.getvalue().isascii()
    assert "####" in file.getvalue()


def by_hand() -> Result:
    """As in test_results_result: four of 100 ns at one site, two of 200 ns at another group's, among 300 of 2 ns."""
    access = [np.zeros((100, 15), dtype=np.int64) for _ in range(3)]
    for stacks in access:
        stacks[:, 0] = 2000
    access[1][:4, 7] = 98_000
    access[2][:2, 10] = 198_000
    return result_of(Samples([(0, 0, 0), (0, 1, 1), (1, 0, 1)], access, [np.zeros((0, 17), dtype=np.int64)] * 2))


def test_a_report_by_hand() -> None:
    text = reported(by_hand(), 98)
    flat = " ".join(text.split())
    # (4 x 100 + 2 x 200) / 6, of which 4 x 98 / 6 is link_wait; all: (294 x 2 + 800) / 300
    assert "The slowest 2 %: 6 of 300 accesses, from 100.0 ns up" in flat
    assert "133.3 ns on average (all: 4.63 ns)" in flat
    assert row(text, "link_wait ") == "link_wait 65.3 49 % 1.31 waiting for a busy link"
    assert row(text, "memory ").startswith("memory 66.0 ")
    assert row(text, "l1 ") == "l1 2.00 1.5 % 2.00 first-level cache"
    assert row(text, "sum   ") == "sum 133.3 4.63"
    assert row(text, "chaser ") == "chaser 67 % 67 % 100.0 link_wait 98%, l1 2%"
    assert row(text, "sum += e.Value") == "sum += e.Value 67 % 33 % 100.0 link_wait 98%, l1 2%"
    assert row(text, "read stream") == "read stream 33 % 33 % 200.0 memory 99%, l1 1%"
    assert row(text, "buffer [big]").startswith("buffer [big] 100 % 67 % 133.3")


def test_a_report_of_operations_has_no_call_sites() -> None:
    text = reported(ONE_GROUP, 99, of="operation")
    assert "of 2,000 operations" in text
    assert "By call site" not in text


def test_many_rows_are_cut_and_summed() -> None:
    stacks = np.full((100, 15), 1000, dtype=np.int64)
    classes = [(0, site, 0) for site in range(20)]
    result = result_of(Samples(classes, [stacks] * 20, [np.zeros((0, 17), dtype=np.int64)]), ["list"])
    assert row(reported(result, 50), "8 others") == "8 others 40 % 40 % 15.0"


def test_the_report_as_values_is_the_same() -> None:
    value = report.to_dict(by_hand(), 98)
    assert (value["count"], value["of_count"], value["above"]) == (6, 300, 98)
    assert value["tail"][0]["mean_ns"] == pytest.approx(800 / 6)
    assert [r["site"] for r in value["by_site"]] == ["sum += e.Value", "read stream"]
    assert [r["region"] for r in value["by_region"]] == ["buffer [big]"]
    assert len(value["rows"]) == 2


@pytest.mark.parametrize(("text", "value"), [("p99.9", 99.9), ("99", 99), ("P50", 50), (" p0 ", 0), ("p100", 100)])
def test_percentiles_are_read(text: str, value: float) -> None:
    assert report.parse_above(text) == value


@pytest.mark.parametrize("text", ["", "p", "p101", "-1", "nan", "inf", "slow"])
def test_what_is_no_percentile_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--above.*from 0 to 100"):
        report.parse_above(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.613, "1.61"), (9.996, "10.00"), (142.71, "142.7"), (12345.6, "12,346"), (0, "0"), (float("nan"), "-")],
)
def test_nanoseconds(value: float, text: str) -> None:
    assert figures.ns(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.706, "71 %"), (0.042, "4.2 %"), (0.0001, "<0.1 %"), (0, "0 %"), (1, "100 %")]
)
def test_percents(share: float, text: str) -> None:
    assert figures.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(4_412_345, "4.41 M"), (312_000, "312 k"), (87, "87"), (999_999, "1 M"), (2.5e9, "2.5 G")]
)
def test_rates(value: float, text: str) -> None:
    assert figures.rate(value) == text


@pytest.mark.parametrize(("ns", "text"), [(950, "950 ns"), (142_700, "142.7 us"), (1.2e9, "1.2 s"), (3.5e6, "3.5 ms")])
def test_durations(ns: float, text: str) -> None:
    assert figures.duration(ns) == text


def test_the_words_for_a_tail() -> None:
    assert figures.slowest(99.9, 10**6) == "slowest 0.1 %"
    assert figures.slowest(99.99, 10**6) == "slowest 0.01 %"
    assert figures.slowest(99.9, 500) == "slowest"
    assert figures.slowest(100, 10**6) == "slowest"
