"""Does the page hold what the result holds, and nothing else? Without a browser: of its HTML and its charts."""

import copy
import json
import re

import pytest
from plotly import graph_objects
from plotly.offline import get_plotlyjs

from end_to_end.busy import busy_result
from numasim import machine
from numasim.errors import UserError
from numasim.machine.plot import layout
from numasim.results import json as stored
from numasim.results import page
from numasim.results.figures import percent
from numasim.results.page import charts, listing, timelines, traffic
from numasim.study import scenario
from numasim.study.run import run_scenario


@pytest.fixture(scope="module")
def result():
    return busy_result()


@pytest.fixture(scope="module")
def told(result):
    """The result as its JSON says it, which is what the page is held to."""
    return json.loads(stored.dumps(result))


def test_charts_are_what_the_library_takes(result):
    """plotly's own validators know every property and its values; a colour's name stands for one."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        if isinstance(value, list):
            return [plain(one) for one in value]
        return "#123456" if isinstance(value, str) and value.startswith("--") else value

    drawn = [charts.latencies(result), timelines.links(result), timelines.memories(result), timelines.channels(result)]
    for chart in [*drawn, *charts.stacks(result).values()]:
        graph_objects.Figure(data=plain(chart["data"]), layout=plain(chart["layout"]))


def test_the_curve_is_the_distribution(result, told):
    """Every point of the chart's line, recomputed from the JSON's buckets."""
    line = charts.latencies(result)["data"][4]
    assert line["name"] == "neighbours, access"
    rows = [c["access"] for c in told["detail"]["classes"] if c["group"] == 1]
    edges, total = told["detail"]["bucket_edges_ps"], sum(sum(h["count"]) for h in rows)
    most = max(h["max_ps"] for h in rows)
    for x, y in list(zip(line["x"], line["y"], strict=True))[1:-1]:
        below = sum(
            n
            for h in rows
            for b, n in zip(h["bucket"], h["count"], strict=True)
            if min(edges[b + 1], most) / 1000 <= x * (1 + 1e-5)
        )
        assert y == pytest.approx(1 - below / total, rel=2e-5)


def test_ten_thousand_call_sites_are_a_page_of_bounded_size(told):
    many = copy.deepcopy(told)
    detail = many["detail"]
    detail["groups"][0]["sites"] = [f"function_{i}+0x{i:x} src/program.cpp:{i + 1}" for i in range(10_000)]
    busy = max((c for c in detail["classes"] if c["group"] == 0), key=lambda c: sum(c["access"]["count"]))
    detail["bucket_edges_ps"] = [1000, 2000]  # a single bucket, so that the arrays are small
    least = {"min_ps": 1500, "max_ps": 1500, "bucket": [0], "count": [7], "ps": {"memory": [7 * 1500]}}
    for group in detail["groups"]:
        group["operation"] = least | {"bucket": [], "count": [], "ps": {}}
    detail["classes"] = [busy | {"site": i, "access": least} for i in range(10_000)]
    text = page.render(stored.loads(json.dumps(many)))
    assert "9,900 more, with less time each" in text
    assert len(text) - len(get_plotlyjs()) < 600_000


def test_a_result_without_machine_series_or_samples_says_so(told):
    poor = copy.deepcopy(told)
    empty = {"min_ps": 0, "max_ps": 0, "bucket": [], "count": [], "ps": {}}
    detail = poor["detail"]
    for one in detail["classes"]:
        one["access"] = empty
    for group in detail["groups"]:
        group["operation"] = empty
    series = detail["series"]
    detail["series"] = {"bin_ps": 0} | {key: [[] for _ in series[key]] for key in ("links", "channels")}
    detail["partial"] = True
    poor["provenance"] = {"version": "0", "seed": 1}
    text = page.render(stored.loads(json.dumps(poor)))
    for words in ("Nothing was counted", "Stopped before its end", "plan is not in this result", "no series over time"):
        assert words in text
    assert 'id="chart-' not in text


def test_how_it_was_made_counts_what_is_known_of_the_machine(result):
    text = page.render(result)
    model = machine.load("icx-8360y-2s")
    kinds = [model.source(key).partition(":")[0] for key in model.values()]
    for kind in ("specified", "fitted", "assumed"):
        assert f"{kinds.count(kind)} {kind} (" in text
    assert result.provenance["version"] in text and "Every value of the machine" in text


@pytest.mark.parametrize(("name", "far"), [("milan-7763-2s", 5), ("genoa-9224-2s-cxl", 4)])
def test_the_map_of_a_machine_with_clusters_has_all_its_links_and_memories(name, far, tmp_path):
    """Both directions of each link with the figures of the result, inside packages without words, in their gaps."""
    file = tmp_path / "far.toml"
    keys = f'name = "g"\nworkload = "stream"\nsize = "1MiB"\nthreads = 2\ncpunodebind = "0"\nmembind = "{far}"\n'
    file.write_text(f'machine = "{name}"\n[[group]]\n{keys}warmup = 0\naccesses = 4000\n')
    result = run_scenario(scenario.load(str(file)))
    model = machine.load(name)
    drawn = traffic.picture(result)
    links = [path for path in drawn.iter("path") if path.get("class", "").startswith("link")]
    titles = {path.find("title").text for path in links}
    assert len(titles) == len(links) == len(model.topology.edges) == len(result.links)
    assert titles == {f"{one.source} to {one.target} ({one.link}): {one.gbps:.2f} GB/s, {percent(one.utilisation)} busy"
                      for one in result.links}  # fmt: skip
    words = [text.text for text in drawn.iter("text")]
    assert sum(re.match(r"(node )?\d+: ", word) is not None for word in words) == model.topology.nodes
    busy = [one.gbps for one in result.links if one.gbps and {one.source, one.target} == {"socket0", "socket1"}]
    assert {word for word in words if word.endswith("GB/s") and ":" not in word} == {
        f"{rate:.1f} GB/s" for rate in busy
    }
    picture = layout(model)
    gaps = {line.edges: abs(line.points[3][1] - line.points[0][1]) for line in picture.lines if line.link == "gmi"}
    widths = [float(path.get("stroke-width")) for path in links if "(gmi)" in path.find("title").text]
    assert len(widths) == 2 * len(gaps) and max(widths) <= max(gaps.values()) / 2


def test_a_listing_shows_source_lines_with_their_share_and_no_other_file(told, tmp_path):
    source = tmp_path / "walk.cpp"
    source.write_text("".join(f"line<{number}>\n" for number in range(1, 101)))
    secret = tmp_path / "secret"
    secret.write_text("hidden words\n")
    (tmp_path / "folder.c").mkdir()
    seen = copy.deepcopy(told)
    names = [
        f"walk(int, char**)+0x4 {source}:10", f"walk+0x8 {source}:10", f"main+0x1 ({source}:50)", f"far {source}:9999",
        f"leak {secret}:1", f"gone {tmp_path}/gone.c:1", f"odd {tmp_path}/folder.c:1",
    ]  # fmt: skip
    detail = seen["detail"]
    detail["groups"][0]["sites"] = names
    busy = max((c for c in detail["classes"] if c["group"] == 0), key=lambda c: sum(c["access"]["count"]))
    detail["classes"] = [busy | {"site": i} for i in range(len(names))]
    text = page.render(stored.loads(json.dumps(seen)))
    assert "line&lt;10&gt;" in text and "line&lt;50&gt;" in text and "line&lt;13&gt;" in text
    assert "line&lt;14&gt;" not in text and "line&lt;100&gt;" not in text and "hidden words" not in text
    rows = {int(r[2]): r for r in map(_cells, re.findall(r'<tr class="line[^"]*">.*?</tr>', text))}
    assert rows[10][0] == "29 %" and rows[50][0] == "14 %" and rows[11][0] == ""  # two and one of seven equal sites


def _cells(row):
    return [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]


@pytest.mark.parametrize(
    ("site", "found"),
    [
        ("look_up+0x1f table.cpp:42", ("table.cpp", 42)),
        ("operator()(int) const+0x2 (/usr/src/a.hpp:7)", ("/usr/src/a.hpp", 7)),
        ("std::map<int, int>::find+0x8", None),
        ("0x4005d0", None),
        ("chase: p = *p", None),
        ("file.c:0", None),
    ],
)
def test_a_site_s_name_may_end_with_file_and_line(site, found):
    assert listing.line_of(site) == found


def test_the_page_is_there_whole_or_not_at_all(result, tmp_path, monkeypatch):
    target = tmp_path / "page.html"
    target.write_text("the old one")
    with pytest.raises(UserError):
        page.write(result, tmp_path / "nowhere" / "page.html")
    with pytest.raises(UserError):
        page.write(result, tmp_path)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="No space left"):
        page.write(result, target)
    assert target.read_text() == "the old one" and [p.name for p in tmp_path.iterdir()] == ["page.html"]
