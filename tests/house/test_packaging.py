"""What a contributor and a package index are told is what stands in the repository."""

import re
import tomllib
from pathlib import Path

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_python_that_is_promised_is_tested() -> None:
    job = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


def test_hooks_before_a_commit_call_what_guards_main() -> None:
    [local] = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    entries = {hook["entry"].split()[0] for hook in local["hooks"]}
    guards = set(re.findall(r"\$\(BIN\)/(ruff|lint-imports|mypy)", read("Makefile")))
    assert entries == {f".venv/bin/{tool}" for tool in guards}
    assert {"make lint", "make types", "make test"} <= set(read(".ci/run").splitlines())


def test_what_contributors_are_told_to_run_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), flags=re.MULTILINE))
    told = set(re.findall(r"make ([a-z]+)", read("CONTRIBUTING.md")))
    assert told - targets == set()
    assert len(told) >= 6


def test_the_licence_and_the_types_are_part_of_the_package() -> None:
    assert PROJECT["license"] == "MIT"
    assert read("LICENSE").startswith("MIT License")
    assert (ROOT / "harmony_pipeline" / "py.typed").exists()


def test_links_of_the_pages_at_the_top_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", read(page)):
            assert (ROOT / target).exists(), (page, target)
