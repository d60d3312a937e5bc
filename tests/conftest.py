"""What every suite may use: where the tree is, the command line as a user starts it, and one setting for hypothesis."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

import numasim

ROOT = Path(__file__).resolve().parent.parent
TESTED = str(Path(numasim.__file__).parents[1])  # the numasim that tests import, installed or not, also in processes

# A compiled engine's first example takes seconds and its later ones none, so a deadline an example says nothing;
# the same examples every time, so that a failure is the change's and can be had again.
hypothesis.settings.register_profile("numasim", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=2000)  # pytest --hypothesis-profile=search
hypothesis.settings.load_profile("numasim")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top folder of the tree."""
    return ROOT


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """cli("run", "teaching-2s", ...): numasim in a process of its own and an empty folder; returns what it printed."""

    def numasim(*words: str, stdin: str | None = None, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "numasim", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": TESTED},
        )

    return numasim


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """program("valgrind"): its path. Where it is not installed the test fails in CI, and is skipped elsewhere."""

    def path_of(name: str) -> str:
        beside = str(Path(sys.executable).parent)  # a compiler may come with a Python package
        found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), beside]))
        if found is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed (CONTRIBUTING.md: apt)")
        return str(found)

    return path_of
