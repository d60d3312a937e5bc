"""Is the tree built as docs/design.md draws it? Layers, sizes, names, docstrings, dependencies, what a wheel holds."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "numasim"

# The stages data flows through. A module imports from its own stage and from those before it.
STAGES = ("machine", "memory", "traces", "workloads", "engine", "results", "study", "calibration", "cli")
LEAFS = ("errors", "assets", "sizes")  # below all stages, importing none
WITH_NUMBA = {"llvmlite"}  # numba pins the one version it works with
IMPORTED_AS = {"pyelftools": "elftools"}  # where a distribution's name is another
SHIPPED = (
    "models", "markers", "calibration/native", "calibration/protocols", "calibration/families", "calibration/hosts",
)  # fmt: skip
MOST_LINES_A_FILE, MOST_LINES_A_FUNCTION = 400, 70

MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def runs_on_loading(node: ast.AST) -> Iterator[ast.AST]:
    """What is executed when a module is loaded: nothing inside functions, nothing for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from runs_on_loading(child)


def imported(path: Path, on_loading: bool = False) -> Iterator[tuple[int, str]]:
    """Line and full name of whatever a module imports, inside functions too; `from a import b` gives a.b."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in runs_on_loading(tree_of(path)) if on_loading else ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"numasim(\.[a-z_]+)+", str(node.value)):
            yield node.lineno, str(node.value)  # importlib.import_module("numasim....")


def stage(name: str) -> str:
    return [*name.split("."), ""][1]


def tracked_text() -> Iterator[tuple[Path, str]]:
    """Every text file that belongs to the tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:  # an unpacked archive
        paths = [p for p in ROOT.rglob("*") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts)]
    for path in paths:
        if path.is_file():
            try:
                yield path, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # compressed data


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_run_one_way(path):
    """A stage imports no later stage, a leaf none at all. The package itself (`import numasim`) is above all."""
    mine = stage(module_name(path))
    if path.parent == PACKAGE and mine not in LEAFS:
        return
    assert mine in (*LEAFS, *STAGES), f"{mine} is no stage of docs/design.md"
    allowed = {*LEAFS, *(STAGES[: STAGES.index(mine) + 1] if mine in STAGES else ())}
    wrong = [
        f"line {line}: {name}"
        for line, name in imported(path)
        if name.split(".")[0] == "numasim" and stage(name) in STAGES and stage(name) not in allowed
    ]
    assert not wrong, f"{module_name(path)} imports from a later stage: {wrong}"


def test_no_module_waits_for_itself():
    """No cycles while modules are loaded. (A property may import its class when asked: machine.topology does.)"""
    names = {module_name(path) for path in MODULES}

    def module_of(name: str) -> str:
        while name and name not in names:
            name = name.rpartition(".")[0]
        return name

    graph = {module_name(path): {module_of(name) for _, name in imported(path, on_loading=True)} for path in MODULES}
    for name in graph:
        graph[name] -= {name, "numasim", ""}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_third_parties_are_the_declared_ones():
    """What numasim imports is what pyproject.toml installs, no more and no less."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=!~;\[ ]", line)[0] for line in project["dependencies"]}
    declared = {IMPORTED_AS.get(name, name) for name in names}
    used = {name.split(".")[0] for path in MODULES for _, name in imported(path)} - {"numasim", "__future__"}
    used -= sys.stdlib_module_names
    assert used - WITH_NUMBA - declared == set(), "imported, not declared"
    assert declared - used == set(), "declared, not imported"


def test_files_and_functions_are_short():
    long = []
    for path, text in tracked_text():
        if path.suffix not in (".py", ".c", ".h"):
            continue
        lines = text.count("\n")
        if lines > MOST_LINES_A_FILE:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(tree_of(path)) if path.suffix == ".py" else ():
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= MOST_LINES_A_FUNCTION:
                long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not long


def test_no_name_says_nothing():
    """A file named utils is where things land whose place nobody thought of."""
    empty = re.compile(r"(^|[/_])(utils?|helpers?|common|misc|tools?|stuff)(\.py$|/)")
    assert [str(path) for path, _ in tracked_text() if empty.search(str(path.relative_to(ROOT)))] == []


def undocumented(node: ast.AST, prefix: str) -> Iterator[str]:
    for child in getattr(node, "body", ()):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not child.name.startswith("_"):
            if not ast.get_docstring(child):
                yield f"{prefix}.{child.name}"
            if isinstance(child, ast.ClassDef):
                yield from undocumented(child, f"{prefix}.{child.name}")


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_public_things_have_docstrings(path):
    assert list(undocumented(tree_of(path), module_name(path))) == []
    assert path.name == "__init__.py" or ast.get_docstring(tree_of(path)), "a module says what it is"


def test_tree_stands_alone():
    """Nothing refers to what is not in the tree: folders beside it, or how and by whom it was written."""
    outside = re.compile(
        r"\.\./shared|/work/|/tmp/build|CONTRACT\.md|ENGINE(-FULL)?\.md|STYLE\.md|DEVELOPERS\.md|\bissues show\b"
        r"|\bissue (#|no\. ?)?\d+\b|\b(sub-?agents?|language models?|LLMs?|Claude|ChatGPT|Copilot)\b|feasibility study",
        re.IGNORECASE,
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path, text in tracked_text()
        if path != Path(__file__).resolve()
        for number, line in enumerate(text.splitlines(), 1)
        if outside.search(line)
    ]
    assert not found


def test_every_shipped_folder_is_in_the_wheel(tmp_path):
    """The wheel holds the package, all of it, and the folders that assets.shipped() finds; no tests, no examples."""
    build = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob("numasim-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        held = set(opened.namelist())
        scripts = next(opened.read(name).decode() for name in held if name.endswith("entry_points.txt"))
    assert "numasim = numasim.__main__:main" in scripts

    def files(folder: str) -> list[str]:
        found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return [str(path.relative_to(ROOT)) for path in found]

    expected = {*files("numasim"), *(f"numasim/_shipped/{name}" for folder in SHIPPED for name in files(folder))}
    assert expected <= held, sorted(expected - held)
    assert {name.split("/")[0] for name in held} == {
        "numasim",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }
