"""The fenced blocks of README.md, run: what each is, what it prints now, and whether that is what the README shows.

    sh      commands `numasim ...` and `python ...`, one a line, run in a folder that holds the tree's examples
    python  a program; toml: data. After <!-- file NAME --> the block is written to that file, a program is not run
    text    what the block before it prints

`<!-- not run: WHY -->` before a block leaves it out; so does `<!-- tests -->`, the line that runs these tests. Of the
line after `<!-- main-job -->` only its `numasim` part is run: .ci/run installs.

`python tests/end_to_end/readme_blocks.py` writes what the blocks print now into README.md.
"""

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from os import environ
from pathlib import Path
from typing import NamedTuple

import numasim

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TESTED = str(Path(numasim.__file__).parents[1])
LEFT_OUT = ("not run:", "tests")
REL, ABS = 0.1, 2.0  # by how much a number may differ from the one in the README
BARS = re.compile("[▏▎▍▌▋▊▉█▁▂▃▄▅▆▇]+")
NUMBER = re.compile(r"\d[\d,]*\.?\d*(?:e[+-]?\d+)?")


class Block(NamedTuple):
    """A fenced block. mark: the comment on the line before its fence. line: number of its first line."""

    mark: str
    language: str
    text: str
    line: int


def blocks(markdown: str) -> Iterator[Block]:
    """All fenced blocks, in order."""
    for found in re.finditer(r"(?:^<!-- (.*) -->\n)?^```(\w*)\n((?s:.*?))^```$", markdown, re.M):
        yield Block(found[1] or "", found[2], found[3], markdown.count("\n", 0, found.start(3)) + 1)


def commands(block: Block) -> list[list[str]]:
    """The words of the commands of an sh block. Raises ValueError for one that is neither numasim nor python."""
    text = block.text
    if block.mark == "main-job":
        text = "numasim " + text.rpartition("/bin/numasim ")[2]
    found = [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]
    for words in found:
        if words[0] not in ("numasim", "python"):
            raise ValueError(f"README.md:{block.line}: {words[0]} is not run; say <!-- not run: WHY --> before it")
    return found


def run(block: Block, folder: Path) -> str:
    """What a block prints, run in the folder; "" for one that only becomes a file. Raises ValueError if it fails."""
    if block.mark.startswith("file "):
        (folder / block.mark.removeprefix("file ")).write_text(block.text)
        return ""
    if block.language == "python":
        return _output([sys.executable, "-c", block.text], block, folder)
    if block.language != "sh":
        raise ValueError(f"README.md:{block.line}: a block of {block.language or 'no language'}: say what it is")
    out = ""
    for words in commands(block):
        program = [sys.executable, "-m", "numasim"] if words[0] == "numasim" else [sys.executable]
        out += _output(program + words[1:], block, folder)
    return out


def _output(words: list[str], block: Block, folder: Path) -> str:
    env = environ | {"PYTHONPATH": TESTED, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=env, timeout=300, encoding="utf-8")
    if done.returncode or done.stderr:
        raise ValueError(f"README.md:{block.line}: exit code {done.returncode}: {done.stderr}")
    return done.stdout


def run_all(markdown: str, folder: Path) -> Iterator[tuple[Block, str]]:
    """Run the blocks in order, in a folder; each text block with what the block before it printed."""
    (folder / "examples").symlink_to(ROOT / "examples")
    printed = ""
    for block, after in pairwise([*blocks(markdown), Block("", "", "", 0)]):
        if block.language == "text":
            yield block, printed
        elif not block.mark.startswith(LEFT_OUT):
            printed = run(block, folder)
            if printed and after.language != "text":
                yield block, ""


def stable(text: str) -> list[str]:
    """The words of an output without bars, and without what depends on the computer."""
    return BARS.sub(" ", re.sub(r" in\s+[\d.]+\s+s\s+of\s+CPU.*", "", text, flags=re.S)).split()


def differences(shown: str, printed: str) -> list[str]:
    """Where an output differs from what the README shows: in a word, or in a number by more than a tenth."""
    a, b = stable(shown), stable(printed)
    found = [] if len(a) == len(b) else [f"{len(a)} words are shown, {len(b)} printed"]
    for x, y in zip(a, b, strict=False):
        if NUMBER.sub("0", x) != NUMBER.sub("0", y):
            return [*found, f"shown {x!r}, printed {y!r}"]
        for p, q in zip(NUMBER.findall(x), NUMBER.findall(y), strict=True):
            u, v = (float(n.replace(",", "").rstrip(".")) for n in (p, q))
            if abs(u - v) > ABS + REL * abs(u):
                found.append(f"shown {x!r}, printed {y!r}")
    return found


def rewritten(markdown: str, folder: Path) -> str:
    """The README with its text blocks as they are printed now."""
    for block, printed in reversed([pair for pair in run_all(markdown, folder) if pair[0].language == "text"]):
        lines = markdown.splitlines(keepends=True)
        at = block.line - 1
        new = "".join(line.rstrip() + "\n" for line in printed.strip("\n").splitlines())
        lines[at : at + block.text.count("\n")] = [new]
        markdown = "".join(lines)
    return markdown


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        README.write_text(rewritten(README.read_text(), Path(scratch)))
