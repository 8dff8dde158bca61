"""Shared fixtures, every test in a folder of its own; and which tests `python -m helpers quick` leaves out."""

import os
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow, and no test is about time.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Modules that train, export a model, serve one, open a browser or execute a notebook's cells: seconds a test.
# A single slow test elsewhere carries the mark itself; all of tests/phone is slow.
SLOW_MODULES = {
    "test_adaptation",
    "test_alignment",
    "test_recipes",
    "test_balanced_notebook",
    "test_bench",
    "test_export",
    "test_export_refusals",
    "test_glass_box",
    "test_parity",
    "test_pretrain",
    "test_runs",
    "test_runtimes",
    "test_stages",
    "test_teacher_client",
    "test_teacher_limits",
    "test_teacher_offline",
    "test_teacher_outcomes",
    "test_teacher_servers",
    "test_train",
    "test_unsloth_drive",
    "test_what_fixed_it",
}
SERIES_SECONDS = 4200  # one test that executes every notebook; CI gives the whole suite 90 minutes

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch starts; see helpers/__init__.py
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["TRIAGE_STATIC"] = "1"


def pytest_collection_modifyitems(items):
    """Mark the slow modules, and give the run of the series more time than `timeout` in pyproject.toml."""
    for item in items:
        if item.module.__name__ in SLOW_MODULES or item.path.parent.name == "phone":
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("notebook"):
            item.add_marker(pytest.mark.timeout(SERIES_SECONDS))


@pytest.fixture(autouse=True)
def own_build_folder(tmp_path, monkeypatch):
    """`build/` of this test; notebook and training tests share the real cache rules but never the reader's
    cache.
    """
    monkeypatch.setenv("TRIAGE_BUILD", str(tmp_path / "build"))
    monkeypatch.delenv("TRIAGE_PROFILE", raising=False)


@pytest.fixture(scope="session")
def ladder(tmp_path_factory):
    """The nano base on every step."""
    from exported import NANO

    from helpers import export

    folder = tmp_path_factory.mktemp("ladder")
    return {quant: export.export(NANO, folder / f"{quant}.gguf", quant) for quant in export.LADDER}


@pytest.fixture(scope="session")
def shared_build():
    """The checkout's own `build/`, for what is fetched once for all tests. Use as `with shared_build():`."""
    from helpers.files import ROOT

    @contextmanager
    def inside():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRIAGE_BUILD", str(ROOT / "build"))
            yield ROOT / "build"

    return inside


@pytest.fixture(scope="session")
def engine(shared_build):
    """The pinned npm archives of the page's engine, fetched. CI must have them; a reader's machine may be
    offline.
    """
    from helpers.files import LabError
    from helpers.runtimes import npm

    with shared_build() as folder:
        try:
            for package in (npm.WLLAMA, npm.WLLAMA_COMPAT):
                npm.files(package, ())
        except LabError as reason:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(reason))
    return folder / "npm"


@pytest.fixture(scope="session")
def axe(shared_build):
    """The script that looks for barriers in a page; fetched as the engine is."""
    from helpers.files import LabError
    from helpers.runtimes import npm

    package = npm.Package(
        "axe-core",
        "4.14.1",
        "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    )
    with shared_build():
        try:
            return npm.files(package, ("axe.min.js",))["axe.min.js"].decode()
        except LabError as reason:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(reason))


@pytest.fixture
def npm_archives(engine, own_build_folder, tmp_path):
    """The same archives in this test's `build/`."""
    (tmp_path / "build").mkdir(exist_ok=True)
    (tmp_path / "build" / "npm").symlink_to(engine)
