"""Ranges, the exact set, and the conda road: three files that say the same thing."""

import re
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers import install, machines
from helpers.files import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = tuple(PROJECT["optional-dependencies"])
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINNED = {
    canonicalize_name(row.split("==")[0]): row.split("==")[1].split(";")[0].strip()
    for row in LINES
    if row and not row.startswith("#")
}


def test_the_extras_are_the_agreed_ones_and_python_is_bounded():
    assert {"gguf", "gpu", "real", "site", "dev"} == set(EXTRAS)
    assert PROJECT["requires-python"] == ">=3.11,<3.15"


@pytest.mark.parametrize(("name", "bounds"), install.requirements(*EXTRAS).items())
def test_every_requirement_has_a_range_that_holds_its_exact_version(name, bounds):
    assert re.fullmatch(r">=[\d.]+,<[\d.]+|==[\d.]+", bounds), "the form that helpers/machines.py reads"
    assert machines.within(PINNED[canonicalize_name(name)], bounds)
    assert Requirement(name + bounds).specifier.contains(PINNED[canonicalize_name(name)])


def test_the_installed_versions_are_in_their_ranges():
    assert install.missing("dev", "gguf") == []


def test_every_package_that_ours_need_here_is_in_the_exact_set():
    """Transitive ones too, with their version: a package that moves by itself changes numbers in silence."""
    waiting, seen, wrong = (
        [Requirement("".join(row)) for row in install.requirements("dev", "gguf").items()],
        set(),
        [],
    )
    direct = {canonicalize_name(requirement.name) for requirement in waiting}
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, *sorted(requirement.extras)) in seen:
            continue
        seen.add((name, *sorted(requirement.extras)))
        version = metadata.version(name).split("+")[0]
        if PINNED.get(name) != version:
            if name in direct and name in PINNED:
                pytest.skip(f"{name} {version}: this is another set in the ranges, not the exact one")
            wrong.append(f"{name}=={version}")
        for row in map(Requirement, metadata.requires(name) or ()):
            if any(
                not row.marker or row.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
            ):
                waiting.append(row)
    assert wrong == []
    assert len(seen) > 150, "the walk reached the transitive ones"


def test_the_exact_set_names_versions_of_an_index_and_nothing_of_one_machine():
    for row in LINES:
        assert not row or row.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; [\w>=<. \"]+)?", row), (
            row
        )


def test_the_conda_road_installs_this_project_in_the_exact_versions():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(row["pip"] for row in conda if isinstance(row, dict))
    assert pip == ["--constraint constraints.txt", "--editable .[dev,gguf]"]
    assert f"python{PROJECT['requires-python']}" in conda and "cxx-compiler" in conda


@pytest.mark.parametrize(
    ("version", "bounds", "met"),
    [
        ("2.11.0+cu128", ">=2.11,<3", True),
        ("2.9.1", ">=2.11,<3", False),
        ("3", ">=2.11,<3", False),
        ("3.0.0rc1", ">=2.11,<3", False),
        ("1.33", "==1.33.0", True),
        ("4.0.0", ">=4.0,<5", True),
        ("7.7.1", ">=7.7,<9", True),
        ("", ">=1", False),
    ],
)
def test_a_range_is_read_as_pip_reads_it(version, bounds, met):
    assert machines.within(version, bounds) is met


def test_the_weekly_workflow_takes_the_newest_set_and_runs_up_to_the_first_figure():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "newest.yml").read_text())
    assert workflow[True]["schedule"], "YAML 1.1 reads the key `on` as true"
    job = workflow["jobs"]["newest"]
    steps = " ".join(step.get("run", "") for step in job["steps"])
    assert "constraints" not in steps and ".[dev,gguf]" in steps
    pythons = {str(row["python"]) for row in job["strategy"]["matrix"]["include"]}
    assert {"3.11", "3.14"} <= pythons
    systems = {row["os"].split("-")[0] for row in job["strategy"]["matrix"]["include"]}
    assert systems == {"ubuntu", "macos", "windows"}
