"""Is the folder of compiled code found, private, named after what it was compiled from, and kept small?"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import numasim
from numasim.engine import jit

pytestmark = pytest.mark.skipif(not jit.HAVE_NUMBA, reason="nothing is compiled without numba")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where compiled code goes, before any other place that is tried."""
    for variable in ("XDG_CACHE_HOME", "HOME", "TMPDIR"):
        monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("NUMASIM_CACHE", str(tmp_path))
    return tmp_path / "numasim"


def test_the_folder_is_where_it_was_asked_for_and_private(root: Path) -> None:
    found = Path(jit.cache_folder())
    assert found.parent == root and found.is_dir()
    assert found.name == Path(jit.CACHE).name, "the same sources, the same name"
    assert found.stat().st_mode & 0o077 == 0


def test_old_engines_are_left_to_go_and_never_in_the_way(root: Path) -> None:
    """Seven engines, each with numba's own folder of files in it: the youngest three stay beside the one in use."""
    for age in range(7):
        inner = root / f"engine-{age:016x}" / "engine_3fe08e8b"
        inner.mkdir(parents=True)
        root.chmod(0o700)
        (inner / "compiled._run_table-157.py311.1.nbc").write_bytes(b"code")
        os.utime(inner.parent, (1e9 - age * 1000, 1e9 - age * 1000))
    found = Path(jit.cache_folder())
    assert found.parent == root, "what is old keeps nobody from caching"
    left = sorted(path.name for path in root.glob("engine-*"))
    assert left == sorted([found.name, *(f"engine-{age:016x}" for age in range(3))])


@pytest.mark.skipif(os.name != "posix", reason="rights are the posix ones")
def test_a_folder_others_may_write_to_is_not_used(root: Path) -> None:
    root.mkdir(parents=True)
    root.chmod(0o777)
    assert not jit.cache_folder().startswith(str(root))


def test_a_change_of_any_source_of_the_engine_compiles_anew(tmp_path: Path) -> None:
    """The folder is named after all sources of the engine, policies included."""
    package = tmp_path / "numasim"
    shutil.copytree(Path(numasim.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    def name() -> str:
        code = "from numasim.engine import jit; print(jit._digest())"
        env = os.environ | {"PYTHONPATH": str(tmp_path), "NUMASIM_CACHE": str(tmp_path / "cache")}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = name()
    assert name() == before
    policy = package / "engine" / "policies" / "rrip.py"
    policy.write_text(policy.read_text() + "\n# changed\n")
    assert name() != before
