"""The repository as a whole: versions, imports, commands, sizes, and what must not be said."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from helpers import __main__ as main
from helpers.files import ROOT

# One floor per question; an import only ever points down (to a lower number).
FLOORS = {
    "__main__": 18, "provenance": 17, "workshop": 17, "notebooks": 16,
    "show": 14, "lab": 13, "recipes": 12, "site": 12, "rewards": 11, "runtimes": 11, "evaluate": 10, "pretrain": 9,
    "export": 8,
    "train": 7, "teacher": 6, "translate": 5, "audit": 4, "pocket": 4, "cases": 3, "shared": 2, "triage": 2,
    "startup": 2, "progress": 1, "files": 1, "install": 1, "processes": 1,
    "statistics": 1, "machines": 0,
}  # fmt: skip
SOURCES = sorted((ROOT / "helpers").rglob("*.py"))


def _tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def _floor(path):
    return path.relative_to(ROOT / "helpers").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_import_only_ever_points_down(path):
    if _floor(path) == "__init__":
        return
    here = _floor(path)
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers."):
            names = [node.module.split(".")[1]]
        for name in names:
            assert name == here or FLOORS[name] < FLOORS[here], f"{here} imports {name}"


LAYOUT = {
    *("README.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE"),
    *("pyproject.toml", "environment.yml", "constraints.txt", "Makefile"),
    *(".ci", ".github", ".gitignore", ".gitattributes", ".editorconfig", ".pre-commit-config.yaml"),
    *("notebooks", "helpers", "phone", "docs", "data", "tests"),
}


def test_the_top_level_is_the_agreed_layout():
    top = {path.relative_to(ROOT).parts[0] for path in _tracked()}
    assert top == LAYOUT


def test_the_citation_names_this_version_and_this_repository():
    with (ROOT / "pyproject.toml").open("rb") as stream:
        project = tomllib.load(stream)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == project["project"]["version"]
    assert citation["license"] == project["project"]["license"]
    assert citation["repository-code"] == f"https://github.com/{project['tool']['triage-lab']['repository']}"


def test_the_rooms_held_to_their_types_are_there():
    with (ROOT / "pyproject.toml").open("rb") as stream:
        rooms = tomllib.load(stream)["tool"]["mypy"]["files"]
    assert rooms
    for room in rooms:
        assert (ROOT / room).exists(), room


def test_the_slow_modules_are_there(pytestconfig):
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / "tests" / "conftest.py"))
    names = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert names >= conftest.SLOW_MODULES


def test_the_hooks_before_a_commit_are_local_and_run_what_the_tests_run():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    entries = [hook["entry"].removeprefix("python -m ") for hook in repos[0]["hooks"]]
    for command in main.STATIC_CHECKS:
        words = [word for word in command if word != "."]
        assert any(entry.startswith(" ".join(words)) for entry in entries), words


def test_the_workflow_calls_the_same_script_as_every_other_ci():
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]["test"]
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert job["env"]["CI"] == "true"
    assert job["timeout-minutes"] == 90


def test_no_large_file_and_no_pickle_is_in_git():
    for path in _tracked():
        assert path.stat().st_size <= 12_000_000, path
        assert path.suffix not in {".pkl", ".pt", ".bin", ".pth", ".gguf"}, path
    base = sum(path.stat().st_size for path in (ROOT / "data" / "nano-base").iterdir())
    assert base <= 12_000_000


def test_no_machine_path_and_no_secret_is_written_down():
    forbidden = re.compile(r"(?<![\w.])/(?:work|root|farm)/|sk-[A-Za-z0-9]{20,}|hf_[A-Za-z0-9]{20,}")
    for path in _tracked():
        if (
            path.suffix in {".py", ".md", ".yaml", ".yml", ".toml", ".json", ".jsonl", ".ipynb", ""}
            and path.name != "test_project.py"
        ):
            found = forbidden.search(path.read_text(encoding="utf-8", errors="ignore"))
            assert not found, f"{path}: {found[0]}"


def test_nothing_unsafe_is_called():
    unsafe = re.compile(r"yaml\.load\(|pickle|trust_remote_code\s*=\s*True|torch\.load\(|shell\s*=\s*True")
    for path in SOURCES:
        assert not unsafe.search(path.read_text()), path


def test_modules_and_public_functions_have_docstrings_and_modules_stay_small():
    for path in SOURCES:
        text = path.read_text()
        tree = ast.parse(text)
        assert ast.get_docstring(tree) or not tree.body, path
        assert text.count("\n") <= 420, path


def test_the_commands_of_the_readme_are_the_makefiles_and_cis():
    readme, makefile, ci = ((ROOT / name).read_text() for name in ("README.md", "Makefile", ".ci/run"))
    assert "make test" in ci
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    targets = re.findall(r"^([a-z-]+): ## \S", makefile, re.MULTILINE)
    assert targets[0] == "tutorial", "what `make` alone does"
    for target in ("tutorial", "quick", "test", "lab", "help"):
        assert target in targets
        assert f"make {target}" in readme, target


def test_every_target_of_the_makefile_is_a_command_without_make():
    for command in re.findall(r"-m helpers (\w+)", (ROOT / "Makefile").read_text()):
        main.parser().parse_args([command])


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")
def test_make_help_lists_every_target():
    # Called by another make (as `make test` does), make would print the directories that it enters and
    # leaves.
    outside = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "--no-print-directory", "help"]
    done = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True, check=True)
    listed = [line.split()[1] for line in done.stdout.splitlines()]
    assert listed == re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
def test_an_environment_for_unsloth_that_cannot_be_made_is_said_in_one_message(tmp_path):
    asked = os.environ | {"PYTHON": "false", "TRIAGE_BUILD": str(tmp_path)}
    done = subprocess.run(["tests/unsloth_env.sh"], cwd=ROOT, env=asked, capture_output=True, text=True)
    assert done.returncode == 1 and not (tmp_path / "unsloth-venv" / "installed").exists()
    assert re.fullmatch(r"✗ false could not make an environment\..*PYTHON=.*install\.log\n", done.stderr)


def test_a_check_that_dies_is_no_success(monkeypatch):
    """A process ended by a signal has a negative exit code; the largest code of several would hide it."""
    codes = iter([0, -11, 0])
    monkeypatch.setattr(main.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], next(codes)))
    assert main._modules(["one"], ["two"], ["three"]) == -11


def test_the_readme_promises_no_medical_use_and_names_its_limits():
    readme = (ROOT / "README.md").read_text().lower()
    for phrase in ("not a medical device", "synthetic", "not the manchester triage system", "licence"):
        assert phrase in readme


def test_the_rubric_is_never_called_the_mts_in_what_a_model_learns():
    for path in (
        *(ROOT / "data" / "cases").glob("*.yaml"),
        ROOT / "data" / "pretraining.yaml",
        ROOT / "data" / "eval" / "vignettes.jsonl",
    ):
        assert not re.search(r"\bMTS\b|manchester", path.read_text(), re.IGNORECASE), path


@pytest.mark.slow
def test_a_wrong_profile_on_the_command_line_is_one_message_without_a_stack_trace():
    done = subprocess.run(
        [sys.executable, "-m", "helpers", "run", "00"],
        cwd=ROOT,
        env={**os.environ, "TRIAGE_PROFILE": "nanoo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "There is no profile 'nanoo'" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_refreshing_part_of_the_committed_series_is_refused():
    command = [sys.executable, "-m", "helpers", "run", "--write", "00"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "whole series" in done.stderr and "Traceback" not in done.stderr


def test_the_shipped_results_say_on_what_they_were_measured():
    results = json.loads((ROOT / "data" / "results" / "nano.json").read_text())
    assert results["profile"] == "nano" and results["machine"] and results["versions"]["torch"]
    for key, entry in results["measurements"].items():
        assert {"value", "n", "low", "high", "seeds", "unit", "notebook"} == set(entry), key


def test_every_document_link_in_the_readme_leads_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
    assert Path(ROOT / "data" / "README.md").exists()
