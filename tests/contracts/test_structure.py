"""What keeps the structure what it is: one gate, layers that look one way, documented settings, pins that hold."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from api.settings import Settings
from search.errors import LoupeError

ROOT = Path(__file__).parents[2]
PACKAGES = ("search", "indexer", "api", "ui", "benchmarks")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_layers_look_one_way(path: Path) -> None:
    """search knows nobody; indexer knows search; api puts the two together; benchmarks are for none of them."""
    forbidden = {"search": ("indexer", "api", "ui", "benchmarks"), "indexer": ("api", "ui", "benchmarks")}
    own = path.relative_to(ROOT).parts[0]
    for imported in imports(path):
        assert imported.split(".")[0] not in forbidden.get(own, ("benchmarks",) if own != "benchmarks" else ())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_first_line_says_what_a_file_is_for(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert said
    assert len(said.splitlines()[0]) > 15


def test_only_the_gate_makes_scopes_and_reads_grants() -> None:
    """`Scope` is made in one module, and who decides by grants is that module too."""
    makers = [name_of(path) for path in MODULES if re.search(r"\bScope\(", path.read_text(encoding="utf-8"))]
    assert makers == ["search.policy"]
    deciders = [
        name_of(path)
        for path in MODULES
        if re.search(r"\.(subject_kind|allow)\b", path.read_text(encoding="utf-8")) and path.name not in ("types.py",)
    ]
    assert set(deciders) <= {"search.policy", "search.columns", "search.catalog", "indexer.facts", "indexer.manifest"}


def test_every_read_of_the_engine_takes_a_scope() -> None:
    tree = ast.parse((ROOT / "search/engine.py").read_text(encoding="utf-8"))
    engine = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Engine")
    reads = {
        node.name: [argument.arg for argument in node.args.args]
        for node in engine.body
        if isinstance(node, ast.FunctionDef) and not node.decorator_list
    }
    without = {name for name, arguments in reads.items() if arguments[1:2] != ["scope"]}
    assert without <= {"publish", "catch_up", "refresh", "matching_words", "strangeness"}


def test_numerical_libraries_are_told_not_to_spin_before_any_is_loaded() -> None:
    loaded = "[name for name in ('numpy', 'faiss', 'torch') if name in sys.modules]"
    probe = (
        f"import os, sys, search; print({loaded}, os.environ['OMP_WAIT_POLICY'], os.environ['OPENBLAS_THREAD_TIMEOUT'])"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "OPENBLAS_"))}
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=True, env=bare)
    assert run.stdout.split() == ["[]", "PASSIVE", "4"]


def test_decoding_imports_no_model_and_no_catalog() -> None:
    """The child process of the decoder holds nothing worth stealing."""
    heavy = "('torch', 'faiss', 'sqlalchemy', 'litestar')"
    probe = f"import sys, indexer.decode.__main__; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.strip() == "[]"


def test_every_setting_is_documented() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in Settings.__struct_fields__:
        assert f"| `{name}` |" in readme, name


def test_every_error_has_a_code_of_its_own_and_stands_in_the_tree() -> None:
    def below(kind: type[LoupeError]) -> Iterator[type[LoupeError]]:
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    kinds = list(below(LoupeError))
    drawn = (ROOT / "search/errors.py").read_text(encoding="utf-8").split('"""')[1]
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(kind.__name__ in drawn for kind in kinds if kind.__module__ == "search.errors")


def test_every_dependency_is_pinned_and_installed_as_pinned() -> None:
    """Other engines to be compared with are pinned too, but need not be here: they are large, and one is compiled."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {name.lower().replace("_", "-"): version for name, _, version in (line.partition("==") for line in lines)}
    assert set(extras["bench"]) <= pins.keys()
    here = [*project["dependencies"], *(name for extra in extras.keys() - {"bench"} for name in extras[extra])]
    assert {name: metadata.version(name) for name in here} == {name: pins.get(name) for name in here}


def test_nothing_large_and_nothing_that_names_a_machine_is_kept() -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in files.split("\0") if name]
    heads = ROOT / "search/models/loupe_mini/heads.safetensors"
    assert all(path.stat().st_size < 10_000_000 for path in paths if path.exists() and path != heads)
    assert sum(path.stat().st_size for path in paths if path.exists()) < 60_000_000
