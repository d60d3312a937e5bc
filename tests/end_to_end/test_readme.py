"""Does everything the README shows run, and print what it shows? Do its links, and those of docs/, lead anywhere?"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from end_to_end.readme_blocks import README, ROOT, blocks, commands, differences, rewritten, run_all, stable

TEXT = README.read_text()
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("calibration/README.md")),
    *sorted(ROOT.glob("*/*/README.md")),
]


def test_all_of_it_runs_and_prints_what_is_shown(tmp_path: Path) -> None:
    wrong = [
        f"README.md:{block.line}: {what}"
        for block, printed in run_all(TEXT, tmp_path)
        if block.language == "text"
        for what in differences(block.text, printed)
    ]
    assert not wrong, "if the README should change, run tests/end_to_end/readme_blocks.py"


@pytest.mark.parametrize("mark", ["main-job", "tests"])
def test_the_two_lines_to_copy_are_complete_each(mark: str) -> None:
    """What .ci/run takes out of the README: one command, which makes its own environment under the home folder."""
    (block,) = [block for block in blocks(TEXT) if block.mark == mark]
    assert block.text.count("\n") == 1
    assert block.text.startswith("python3 -m venv ~/.venvs/numasim && ~/.venvs/numasim/bin/pip install ")
    assert TEXT.splitlines()[block.line - 3 : block.line - 1] == [f"<!-- {mark} -->", "```sh"]


def test_the_main_job_is_the_first_thing_that_is_run() -> None:
    first = next(blocks(TEXT))
    assert commands(first) == [
        ["numasim", "run", "icx-8360y-2s", "list", "length=1000000", "order=shuffled", "-N", "0", "-m", "1"]
    ]
    assert first.line < 25, "on the first screen"


def slug(heading: str) -> str:
    """The anchor GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    without_code = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (page.parent / path) if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in [slug(line.lstrip("#")) for line in file.read_text().splitlines() if line.startswith("#")]


# ---- the comparison itself -----------------------------------------------------------------------------------------

SHOWN = "access  49.6 ns  12 %  ███▌\nrefresh  1.39\n\nSimulated 10 accesses (5 counted) in 2.31 s of CPU: 4.3 M\n"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda text: text.replace("2.31 s of CPU: 4.3 M", "9.87 s of CPU: 1.0 M"), True),
        (lambda text: text.replace("███▌", "████"), True),
        (lambda text: text.replace("49.6", "52"), True),
        (lambda text: text.replace("49.6", "69.6"), False),
        (lambda text: text.replace("access ", "operation "), False),
        (lambda text: text.replace("refresh  1.39\n", ""), False),
        (lambda text: text.replace("10 accesses", "20 accesses"), False),
    ],
)
def test_what_counts_as_the_same_output(change: Callable[[str], str], same: bool) -> None:
    assert change(SHOWN) != SHOWN
    assert (differences(SHOWN, change(SHOWN)) == []) is same
    assert "CPU:" not in stable(SHOWN)


def test_a_readme_can_be_rewritten_in_place(tmp_path: Path) -> None:
    page = (
        "# a\n\n<!-- file a.py -->\n```python\nx = 7\n```\n```python\nimport a\nprint(a.x)\n```\n```text\nold\n```\nb\n"
    )
    new = rewritten(page, tmp_path)
    assert new == page.replace("old", "7")


@pytest.mark.parametrize("page", ["```sh\nrm x\n```\n", "```\nx\n```\n", "```python\n1/0\n```\n"])
def test_a_block_that_is_not_understood_or_fails_is_no_silent_pass(page: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"README.md:2: "):
        list(run_all(page, tmp_path))
