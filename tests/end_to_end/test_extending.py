"""Does docs/extending.md work as it stands, in a copy of the tree with all that it adds?

A block after `<!-- file NAME -->` is written there, one after `<!-- change NAME -->` is a diff of it, without line
numbers; the others are as in README.md (readme_blocks.py). `PYTHONPATH=tests python -m end_to_end.test_extending`
writes what the blocks print now into the page.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.readme_blocks import Block, blocks, differences

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "extending.md"
MAKE = ("file", "change")  # marks of blocks that are no programs


def sections(page: str) -> list[str]:
    """The page's parts, each from its heading on."""
    return re.split(r"^(?=## )", page, flags=re.M)[1:]


SECTIONS = sections(PAGE.read_text())


def changed(text: str, diff: str) -> str:
    """The text after a diff. Raises ValueError unless what it replaces is there exactly once."""
    lines = diff.splitlines()
    old = "".join(line[1:] + "\n" for line in lines if line[:1] != "+")
    new = "".join(line[1:] + "\n" for line in lines if line[:1] != "-")
    if text.count(old) != 1:
        raise ValueError(f"{text.count(old)} times in the file:\n{old}")
    return text.replace(old, new)


def prepared(folder: Path) -> Path:
    """A copy of the package, with what it needs at run time and all that the page adds to it."""
    shutil.copytree(ROOT / "numasim", folder / "numasim", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "models", folder / "models")
    for block in blocks(PAGE.read_text()):
        what, _, name = block.mark.partition(" ")
        if what == "file":
            (folder / name).write_text(block.text)
        elif what == "change":
            (folder / name).write_text(changed((folder / name).read_text(), block.text))
    return folder


def run(program: str, folder: Path) -> str:
    """What a Python program prints that uses the copy. Raises ValueError if it fails."""
    environment = os.environ | {"PYTHONPATH": str(folder), "NUMASIM_CACHE": str(folder / "cache")}
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=environment, timeout=300)
    if done.returncode or done.stderr:
        raise ValueError(f"exit code {done.returncode}: {done.stderr}\n{program}")
    return done.stdout


def printed(section: str, folder: Path) -> Iterator[tuple[Block, str]]:
    """Each block that shows an output, with what the program before it prints."""
    said = ""
    for block in blocks(section):
        if block.mark.startswith(MAKE):
            continue
        if block.language == "text":
            yield block, said
        elif block.language == "python":
            said = run(block.text, folder)
        elif block.language != "toml":
            raise ValueError(f"a block of {block.language or 'no language'}: say what it is\n{block.text}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("extended"))


@pytest.mark.parametrize("section", SECTIONS, ids=[s.splitlines()[0].removeprefix("## ") for s in SECTIONS])
def test_a_section_does_what_it_says(section: str, folder: Path) -> None:
    shown = 0
    for block, said in printed(section, folder):
        assert said and differences(block.text, said) == []
        shown += 1
    assert shown


def test_the_tables_of_machines_show_the_new_memory(folder: Path) -> None:
    """After the page: what it adds is described as the others are, and refused where its keys are missing."""
    program = (
        "import numasim as ns\n"
        "from numasim.machine.loading import from_tables\n"
        "from numasim.machine.text import describe\n"
        "tables = ns.machine('teaching-2s').expanded()\n"
        "node = dict(nodes=[2], vertex='socket0', size_bytes='1GiB', kind='blocks')\n"
        "keys = dict(peak_gbps=20.0, curve=[[0, 150], [20, 300]])\n"
        "print(describe(from_tables(tables | {'memory': tables['memory'] | {'p': node | keys}})))\n"
        "try:\n"
        "    from_tables(tables | {'memory': tables['memory'] | {'p': node}})\n"
        "except ns.UserError as error:\n"
        "    print(error)\n"
    )
    said = run(program, folder)
    assert "150 ns idle, 300 ns at 20 GB/s" in said and "missing key 'curve'" in said


def test_the_engine_that_compiles_does_the_same(folder: Path) -> None:
    """Both of the page's changes of the engine, compiled, against the reference scheduler: equal to the picosecond."""
    program = (
        "import histogram, numasim as ns\n"
        "from numasim.machine.loading import from_tables\n"
        "tables = ns.machine('teaching-2s', set={'l1d.policy': 'fifo', 'l3.policy': 'fifo'}).expanded()\n"
        "tables['memory']['p'] = dict(nodes=[2], vertex='socket0', size_bytes='1GiB', kind='blocks', peak_gbps=20.0,\n"
        "                             curve=[[0, 150], [20, 300]])\n"
        "for scheduler in 'simpy', 'compiled':\n"
        "    result = ns.run(from_tables(tables), 'histogram', values=1000, bins=3000, laps=1, membind=2,\n"
        "                    scheduler=scheduler)\n"
        "    print(result.raw.simulated_ps, result.access.stack_ps, result.counters)\n"
    )
    one, other = run(program, folder).splitlines()
    assert one == other


if __name__ == "__main__":
    page = PAGE.read_text()
    with tempfile.TemporaryDirectory() as scratch:
        tree = prepared(Path(scratch))
        for section in SECTIONS:
            for block, said in reversed(list(printed(section, tree))):
                lines = section.splitlines(keepends=True)
                lines[block.line - 1 : block.line - 1 + block.text.count("\n")] = [said]
                page = page.replace(section, "".join(lines))
                section = "".join(lines)
    PAGE.write_text(page)
