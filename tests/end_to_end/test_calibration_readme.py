"""Do the commands of calibration/README.md do what it says, from a bare host to a model that answers?

What is marked `run` there is run, in its order, on this very host, with a protocol of a few runs in place of `quick`:
nothing is asserted on its timings. Every other command is held to the options that its verb has, and to the same forms.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from end_to_end.readme_blocks import TESTED, blocks
from numasim.calibration import host_file, protocol
from numasim.calibration.readers import formats
from numasim.cli.app import app
from numasim.machine import load, names

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "calibration/README.md").read_text()
COMMANDS = [
    (block.mark, shlex.split(line))
    for block in blocks(TEXT)
    if not block.mark.startswith("not run:")
    for line in block.text.splitlines()
]
FEW = """
[defaults]
ms = 1
repetitions = 3
[[run]]
experiment = "clock"
[[run]]
experiment = "chase"
pages = ["4k", "2m"]
size = ["16k", "0.5*l2", "64m"]
[[run]]
experiment = "bandwidth"
size = "32m"
[[run]]
experiment = "list"
length = "8k"
"""
NOT_CONVERGED = 3


def run(words, folder):
    program = [sys.executable, "-m", "numasim", *words[1:]] if words[0] == "numasim" else words
    env = os.environ | {"PYTHONPATH": TESTED}
    return subprocess.run(program, capture_output=True, text=True, cwd=folder, env=env, timeout=900)


def test_every_block_is_marked_run_or_is_a_form_of_one_that_is():
    marked = [block.mark for block in blocks(TEXT) if block.language == "sh"]
    assert {mark for mark in marked if not mark.startswith("not run: ")} == {"run", ""}
    told = {words[1] for mark, words in COMMANDS if mark == "run" and words[0] == "numasim"}
    assert told == {"measure", "calibrate", "validate", "run"}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Folder, and what each command that is marked printed."""
    folder = tmp_path_factory.mktemp("rented")
    (folder / "few.toml").write_text(FEW)
    found = []
    for mark, words in COMMANDS:
        if mark == "run":
            short = ["few.toml" if word == "quick" else word for word in words]
            found.append((words, run(short, folder)))
    return folder, found


def test_a_bare_host_becomes_a_model_that_answers(done):
    folder, found = done
    for words, answer in found:
        may = (0, NOT_CONVERGED) if words[1] == "calibrate" else (0,)
        assert answer.returncode in may, (words, answer.stderr)
        assert "Traceback" not in answer.stderr
    made = {path.name for path in folder.iterdir()}
    assert {"A.json", "B.json", "mine.toml", "mine.png", "there", "host.jsonl", "there.toml"} <= made
    assert (folder / "mine.png").read_bytes()[:4] == b"\x89PNG"
    shown = {" ".join(words[:2]): answer.stdout for words, answer in found}
    assert "fixed by" in shown["numasim calibrate"] and "within their bands" in shown["numasim validate"]
    assert "An access takes" in shown["numasim run"]


def test_both_models_are_fitted_to_what_was_measured(done):
    folder, _ = done
    for model, measured in (("mine.toml", "A.json"), ("there.toml", "host.jsonl")):
        machine = load(folder / model)
        ghz = next(iter(host_file.read(folder / measured).of("clock"))).samples["core_ghz"]
        assert "core.frequency_ghz" in machine.fitted()
        assert min(ghz.raw) * 0.99 <= machine.core.frequency_ghz <= max(ghz.raw) * 1.01
        assert measured in machine.source("core.frequency_ghz")


def test_exit_code_3_is_explained_where_it_is_given(done):
    _, found = done
    for words, answer in found:
        if words[1] == "calibrate":
            assert ("numasim: not converged: " in answer.stderr) is (answer.returncode == NOT_CONVERGED)


@pytest.mark.parametrize("words", [words for _, words in COMMANDS], ids=" ".join)
def test_every_command_has_a_verb_and_options_that_are_there(words):
    if words[0] == "sh":
        assert words[1].endswith("/run.sh")
        return
    assert words[0] == "numasim"
    command = typer.main.get_command(app).commands[words[1]]
    told = command.make_context(words[1], list(words[2:])).params
    for option in ("base", "model"):
        if told.get(option) and not told[option].endswith(".toml"):
            assert told[option] in names()
    if "protocol" in told:
        protocol.load(told["protocol"]).only(told["only"] or [])


def test_the_formats_it_names_are_read():
    for words in ("Intel MLC", "likwid-bench", "Mess"):
        assert words in TEXT and words in formats.KNOWN
