"""Imports run one way: the contracts of pyproject.toml hold, they notice what breaks them, and no
module leads back to itself.
"""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from house.statements import statements_of

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("harmony_pipeline", "assets", "resources")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=environment
    )


def test_imports_run_one_way():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        (
            "harmony_pipeline/risk/limits.py",
            "import dagster\n",
            "harmony_pipeline.risk.limits -> dagster",
        ),
        (
            "harmony_pipeline/text.py",
            "def late():\n    from assets import groups\n",
            "harmony_pipeline.text -> assets.groups",
        ),
        (
            "harmony_pipeline/market/periods.py",
            "import harmony_pipeline.stages.result\n",
            "harmony_pipeline.market.periods -> harmony_pipeline.stages.result",
        ),
        (
            "harmony_pipeline/attic/__init__.py",
            '"""A room that nobody named."""\n',
            "- harmony_pipeline.attic",
        ),
    ],
    ids=["dagster in the library", "assets in the library", "upwards", "a new room"],
)
def test_the_contracts_notice(tmp_path, file, text, complaint):
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as library:
        library.write(text)
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout
    assert complaint in result.stdout


def imports(root: Path) -> dict[str, set[str]]:
    """By module, the modules of ours that it imports, inside functions and for type checkers
    too.
    """
    files = {
        name_of(path.relative_to(root)): path
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
    }
    return {name: imported(path, set(files)) - {name} for name, path in files.items()}


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path, known: set[str]) -> set[str]:
    found = set()
    for node in statements_of(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(inside & known or {node.module})
    return found & known


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import circle, each imports the next and the last the first; empty when
    there is none.
    """
    finished: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in finished:
            return []
        for following in sorted(graph[module]):
            if found := walk(following, [*path, module]):
                return found
        finished.add(module)
        return []

    return next((found for module in sorted(graph) if (found := walk(module, []))), [])


def test_no_module_leads_back_to_itself():
    found = circle(imports(ROOT))
    assert not found, f"import circle: {' -> '.join([*found, found[0]])}"


def test_a_circle_is_found_also_inside_functions_and_for_type_checkers(tmp_path):
    package = tmp_path / "harmony_pipeline"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("def late():\n    from harmony_pipeline.two import thing\n")
    (package / "two.py").write_text("from harmony_pipeline import three\n")
    (package / "three.py").write_text("if TYPE_CHECKING:\n    import harmony_pipeline.one\n")
    assert set(circle(imports(tmp_path))) == {
        f"harmony_pipeline.{name}" for name in ("one", "two", "three")
    }
