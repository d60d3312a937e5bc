"""Is the page right, whole, harmless and readable? Asked of a real browser, and of the JSON beside it."""

import copy
import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from end_to_end.browser import Browser
from end_to_end.busy import busy_result
from numasim.results import json as stored
from numasim.results import page
from numasim.results.figures import MEANING
from numasim.results.page.answer import WAITS

EVIL = [
    "</script ><script>window.hacked=1</script>",
    '"><img src=x onerror="window.hacked=2">',
    "<a href='javascript:window.hacked=3'>click</a> <!--",
    "--ink %{y} $x^2$ {{7*7}} \u2028\x00\x1b[31m\u202eabc &lt;i&gt; <b>" + "w" * 5000,
]
WIDE, PHONE = (1400, 900), (360, 800)
MIDDLE = "(e => { const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })"


@pytest.fixture(scope="module")
def result():
    return busy_result()


@pytest.fixture(scope="module")
def told(result):
    """The result as its JSON says it, which is what the page is held to."""
    return json.loads(stored.dumps(result))


@pytest.fixture(scope="module")
def file(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "result.html"
    page.write(result, path)
    return path


@pytest.fixture(scope="module")
def browser(program, tmp_path_factory):
    with Browser(program("chromium"), tmp_path_factory.mktemp("profile")) as started:
        yield started


def hostile(told):
    """The same result, every name in it written by somebody who means ill."""
    evil = copy.deepcopy(told)
    detail, origin = evil["detail"], evil["provenance"]
    for number, group in enumerate(detail["groups"]):
        group["name"] = EVIL[number]
        group["sites"] = [EVIL[(number + i) % 4] + str(i) for i in range(len(group["sites"]))]
    detail["regions"] = [EVIL[i % 4] + str(i) for i in range(len(detail["regions"]))]
    detail["links"] = [[EVIL[0], EVIL[1], EVIL[2] + str(i), *link[3:]] for i, link in enumerate(detail["links"])]
    detail["event_names"] = [EVIL[1] + str(i) for i in range(len(detail["event_names"]))]
    origin |= {"title": "".join(EVIL), "notes": EVIL, "version": EVIL[0], "host": {EVIL[1]: EVIL[2]}}
    origin["configuration"]["machine"]["sources"]["core.*"] = EVIL[0]
    origin["configuration"]["groups"][0]["keys"] = {EVIL[0]: EVIL[1]}
    return stored.loads(json.dumps(evil))


def numbers_in(text):
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\.?\d*", text)]


def close(shown, exact):
    """Equal, to the digits that are shown: cents of what is below 10, tenths below 1000, whole numbers above."""
    return shown == pytest.approx(exact, rel=0, abs=0.0051 if exact < 10 else 0.051 if exact < 1000 else 0.51)


def tooltip(browser, chart, x, y):
    """What a chart says about a place in the window. It answers late, so that a mouse passing by is spared."""
    browser.hover(1, 1)
    said = f"document.querySelector('#{chart} .hovertext')"
    browser.wait(f"!{said}")
    browser.hover(x, y)
    browser.wait(f"!!{said}")
    return browser.run(f"{said}.textContent")


def tail_of(histograms, above):
    """(nanoseconds by cause, samples) of the slowest, from the JSON's buckets: slow, and not as the library does it."""
    rows = [(b, n, i, h) for h in histograms for i, (b, n) in enumerate(zip(h["bucket"], h["count"], strict=True))]
    total = sum(n for _, n, _, _ in rows)
    left = Fraction(max(1, total - int(Fraction(str(above)) * total // 100)))
    found, taken = {}, left
    for bucket in sorted({row[0] for row in rows}, reverse=True):
        same = [row for row in rows if row[0] == bucket]
        share = min(Fraction(1), left / sum(n for _, n, _, _ in same))
        for _, n, i, histogram in same:
            left -= share * n
            for cause, column in histogram["ps"].items():
                found[cause] = found.get(cause, 0) + share * column[i]
        if left <= 0:
            break
    return {cause: float(ps / taken / 1000) for cause, ps in found.items()}, int(taken)


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_is_drawn_without_a_complaint_and_without_asking_anybody(browser, file, size, dark):
    browser.screen(*size, dark=dark, phone=size == PHONE)
    browser.open(file)
    assert browser.told == []
    assert [address for address in browser.asked if not address.startswith("data:")] == [file.absolute().as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= size[0]
    seen = "[...c.querySelectorAll('.cartesianlayer path, .cartesianlayer image')].filter(p => p.getBBox().width > 0)"
    charts_there = "[...document.querySelectorAll('.chart')]"
    drawn = browser.run(f"Object.fromEntries({charts_there}.map(c => [c.id, {seen}.length]))")
    assert set(drawn) == {"chart-latencies", "chart-stacks", "chart-links", "chart-memories", "chart-channels"}
    assert all(drawn.values()), drawn
    outside = browser.run(
        "[...document.querySelectorAll('.chart svg, svg.machine, h1, select, main > section > table')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className.baseVal || e.tagName)"
    )
    assert outside == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(browser, file, dark):
    """WCAG 2.1, 1.4.3: a ratio of 4.5 to 1, of 3 to 1 for large text; 1.4.11: of 3 to 1 for lines of a chart."""
    browser.screen(*WIDE, dark=dark)
    browser.open(file)
    names = ["paper", "panel", "ink", "quiet", "accent", *(f"group{i}" for i in range(8))]
    names += [f"{kind}{i}" for kind in ("step", "on") for i in range(6)]
    names += [cause + kind for cause in (*MEANING, "other") for kind in ("", "-ink")]
    value = "getComputedStyle(document.documentElement).getPropertyValue('--' + n).trim()"
    colours = browser.run(f"Object.fromEntries({names}.map(n => [n, {value}]))")

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def ratio(one, other):
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    for name in ("ink", "quiet", "accent"):
        assert ratio(colours[name], colours["paper"]) >= 4.5, name
    assert ratio(colours["ink"], colours["panel"]) >= 4.5
    for number in range(8):
        assert ratio(colours[f"group{number}"], colours["paper"]) >= 3, number
    for step in range(6):
        assert ratio(colours[f"on{step}"], colours[f"step{step}"]) >= 3, step
    for cause in (*MEANING, "other"):
        assert ratio(colours[f"{cause}-ink"], colours[cause]) >= 4.5, cause


def test_a_change_to_dark_repaints_the_charts(browser, file):
    browser.screen(*WIDE)
    browser.open(file)
    ask = "getComputedStyle(document.querySelector('#chart-latencies .xtick text')).fill"
    light = browser.run(ask)
    browser.screen(*WIDE, dark=True)
    assert browser.run(ask) != light
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    assert browser.run(paper) != "rgb(255, 255, 255)"
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.run(ask) == light and browser.run(paper) == "rgb(255, 255, 255)"


def test_hovering_over_a_bar_says_what_the_result_says(browser, file, told):
    browser.screen(*WIDE)
    browser.open(file)
    classes = [c["access"] for c in told["detail"]["classes"] if c["group"] == 1]
    choose = "s => { s.value = 'neighbours, access'; s.dispatchEvent(new Event('change')) }"
    browser.run(f"({choose})(document.getElementById('stack-of'))")
    browser.drawn()
    browser.run("document.getElementById('chart-stacks').scrollIntoView({block: 'center'})")
    exact = {0: tail_of(classes, 0), 2: tail_of(classes, 90), 3: tail_of(classes, 99)}
    for row, (stack, _) in exact.items():
        cause = max(stack, key=stack.get)
        number = browser.run(f"document.getElementById('chart-stacks').data.findIndex(t => t.name === '{cause}')")
        bar = f"document.querySelectorAll('#chart-stacks .trace.bars')[{number}].querySelectorAll('.point path')[{row}]"
        x, y = browser.run(f"{MIDDLE}({bar})")
        text = tooltip(browser, "chart-stacks", x, y)
        value, share = numbers_in(text.partition(cause)[2])
        assert close(value, stack[cause]), text
        assert share == pytest.approx(100 * stack[cause] / sum(stack.values()), abs=0.51), text


def test_hovering_over_a_percentile_says_what_the_json_says(browser, file, told):
    browser.screen(*WIDE)
    browser.open(file)
    browser.run("document.getElementById('chart-latencies').scrollIntoView({block: 'center'})")
    traces = "[...document.querySelectorAll('#chart-latencies .scatterlayer .trace')]"
    marks = browser.run(f"{traces}.map(t => [...t.querySelectorAll('.point')].map({MIDDLE})).filter(t => t.length)")
    kinds = [("service", "access"), ("service", "operation"), ("neighbours", "access")]
    assert len(marks) == len(kinds)
    for points, (group, of) in zip(marks, kinds, strict=True):
        for key, (x, y) in list(zip(("p50_ns", "p90_ns", "p99_ns"), points, strict=False))[1:]:
            text = tooltip(browser, "chart-latencies", x, y)
            assert text.startswith(f"{group}, {of}") and key[:3] in text, text
            assert close(numbers_in(text.partition("=")[2])[0], told["groups"][group][of][key]), text


def test_tables_sort_by_mouse_and_by_keyboard(browser, file):
    browser.screen(*WIDE)
    browser.open(file)
    column = "[...document.querySelectorAll('#sites tbody tr')].map(r => r.cells[{}].textContent)"
    head = "[...document.querySelectorAll('#sites thead th')]"
    names = browser.run(f"{head}.map(h => h.textContent)")
    mean = names.index("p99 ns")
    before = numbers_in(" ".join(browser.run(column.format(mean))))
    assert before != sorted(before, reverse=True)  # sorted by time: else this test says nothing
    browser.run(f"{head}[{mean}].scrollIntoView({{block: 'center'}})")
    browser.click(*browser.run(f"{MIDDLE}({head}[{mean}].querySelector('button'))"))
    assert numbers_in(" ".join(browser.run(column.format(mean)))) == sorted(before, reverse=True)
    assert browser.run(f"{head}.map(h => h.getAttribute('aria-sort')).filter(Boolean)") == ["descending"]
    browser.press("Enter")  # the button has the focus
    assert numbers_in(" ".join(browser.run(column.format(mean)))) == sorted(before)
    assert browser.run(f"{head}[{mean}].getAttribute('aria-sort')") == "ascending"
    browser.run(f"{head}[0].querySelector('button').focus()")
    browser.press(" ")
    shown = browser.run(column.format(0))
    assert shown == sorted(shown, key=str.lower, reverse=True)


def test_figures_in_the_page_are_those_of_the_json(browser, file, told):
    browser.screen(*WIDE)
    browser.open(file)
    tables = browser.run(
        "Object.fromEntries([...document.querySelectorAll('table')].map(t => [t.caption.textContent, "
        "[...t.tBodies[0].rows].map(r => [...r.cells].map(c => c.textContent))]))"
    )
    groups, classes = told["groups"], told["detail"]["classes"]
    for row in tables["Latency"]:
        group, of = row[0].rsplit(" ", 1)
        exact = groups[group][of]
        keys = ("mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns", "count")
        for text, key in zip(row[1:], keys, strict=True):
            assert close(numbers_in(text)[0], exact[key]), (row, key)
    events = next(rows for title, rows in tables.items() if title.startswith("Counters"))
    assert {row[0]: int(row[1].replace(",", "")) for row in events} == {k: n for k, n in told["counters"].items() if n}
    loads = next(rows for title, rows in tables.items() if title.startswith("Links (on the wire"))
    memory = {f"memory of node {m['node']}": m["read_gbps"] + m["write_gbps"] for m in told["memory"]}
    links = {f"{a} to {b}": link["gbps"] for link in told["links"] for a, b in [(link["from"], link["to"])]}
    for words, rate, _ in loads:
        assert close(float(rate), (memory | links)[words.partition(" (")[0]]), words
    sites = next(rows for title, rows in tables.items() if title.startswith("Call sites"))
    everything = sum(sum(map(sum, c["access"]["ps"].values())) for c in classes)
    for site, group, time, count, mean, *_ in sites:
        number = list(groups).index(group)
        names = told["detail"]["groups"][number]["sites"]
        mine = [c["access"] for c in classes if c["group"] == number and names[c["site"]] == site]
        total, samples = sum(sum(map(sum, h["ps"].values())) for h in mine), sum(sum(h["count"]) for h in mine)
        assert int(count.replace(",", "")) == samples and close(numbers_in(mean)[0], total / samples / 1000), site
        assert numbers_in(time)[0] == pytest.approx(100 * total / everything, abs=0.51)
    assert sum(int(row[3].replace(",", "")) for row in sites) == told["access"]["count"]


def test_first_comes_the_answer(browser, file, told):
    browser.open(file)
    text = browser.run("document.querySelector('h1').textContent").replace("\u00a0", " ")
    found = re.fullmatch(
        r"service: A look-up takes (\S+) ns on average, (\S+) ns at p50 and (\S+) ns at p99; "
        r"the slowest 1 % are (\d+) % (.+)\.",
        text,
    )
    assert found, text
    exact = told["groups"]["service"]["operation"]
    for shown, key in zip(found.groups(), ("mean_ns", "p50_ns", "p99_ns"), strict=False):
        assert close(float(shown.replace(",", "")), exact[key])
    stack, _ = tail_of([told["detail"]["groups"][0]["operation"]], 99)
    cause = max(stack, key=stack.get)
    assert int(found[4]) == pytest.approx(100 * stack[cause] / sum(stack.values()), abs=0.51)
    assert found[5].startswith(WAITS[cause])


def test_names_are_shown_and_never_obeyed(browser, told, tmp_path):
    path = tmp_path / "hostile.html"
    page.write(hostile(told), path)
    for size in (WIDE, PHONE):
        browser.screen(*size, phone=size == PHONE)
        browser.open(path)
        assert browser.told == [] and browser.run("window.hacked === undefined")
        assert [address for address in browser.asked if not address.startswith("data:")] == [path.absolute().as_uri()]
        assert browser.run("document.documentElement.scrollWidth") <= size[0]
        assert browser.run("document.querySelectorAll('main a, main img, main iframe, main script').length") == 0
        assert browser.run("document.scripts.length") == 3
        assert browser.run("document.querySelector('h1').textContent").startswith(EVIL[0])
        legend = browser.run("[...document.querySelectorAll('#chart-latencies .legendtext')].map(t => t.textContent)")
        assert legend[0] == f"{EVIL[0]}, access"


def test_only_the_page_s_own_scripts_may_run(browser, file, tmp_path):
    """Even if somebody got a script in: the page's policy names the scripts it has."""
    broken = tmp_path / "broken.html"
    broken.write_text(file.read_text().replace("<main>", "<main><script>window.hacked=1</script>", 1))
    browser.open(broken)
    assert browser.run("window.hacked === undefined")
    assert any("Content Security Policy" in text for text in browser.told)
    assert browser.run("document.querySelectorAll('#chart-latencies .cartesianlayer path').length") > 0


def test_without_javascript_all_but_the_charts_is_there(browser, file):
    browser.screen(*PHONE, phone=True)
    browser.open(file, scripts=False)
    assert "needs JavaScript" in browser.run("document.querySelector('#chart-stacks').innerText")
    assert browser.run("document.querySelectorAll('svg.machine path.link').length") > 0
    assert browser.run("document.querySelectorAll('#sites tbody tr').length") > 2
    assert browser.run("getComputedStyle(document.querySelector('.choice')).display") == "none"


def test_what_hears_or_tabs_gets_it_all(browser, file):
    browser.screen(*WIDE)
    browser.open(file)
    unnamed = "[...document.querySelectorAll('{}')].filter(e => !(e.getAttribute('aria-label') || '').trim()).length"
    assert browser.run(unnamed.format(".chart, svg.machine, .wide")) == 0
    assert (
        browser.run("[...document.querySelectorAll('table')].filter(t => !t.caption?.textContent.trim()).length") == 0
    )
    assert browser.run("document.documentElement.lang") == "en"
    assert browser.run("document.title").startswith("icx-8360y-2s")
    assert browser.run("document.querySelectorAll('h1').length") == 1
    assert browser.run("document.querySelector('label').control.id") == "stack-of"
    scrolled = "[...document.querySelectorAll('.wide')].filter(e => e.tabIndex !== 0).length"
    assert browser.run(scrolled) == 0
    # bars tell waiting from working by hatching, lines by dashes, not by colour alone
    assert browser.run("document.querySelectorAll('#chart-stacks pattern').length") > 0
    lines = "[...document.querySelectorAll('#chart-latencies path.js-line')]"
    assert browser.run(f"new Set({lines}.map(p => p.style.strokeDasharray)).size") > 1


def test_report_writes_the_page_of_a_stored_result(cli, result, tmp_path):
    stored.write(result, tmp_path / "run.json")
    done = cli("report", "run.json", "--html", "page.html")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "page.html").read_text() == page.render(stored.read(tmp_path / "run.json"))
    refused = cli("report", "run.json", "--html", str(Path("nowhere") / "page.html"))
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "nowhere" in refused.stderr
