"""A notebook's first cell: Colab and Kaggle, a foreign kernel, a foreign torchvision, a page without widgets."""

import os
import re
import subprocess
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from helpers import __main__ as main
from helpers import install, notebooks, startup
from helpers.files import LabError
from helpers.machines import InstallError

COLAB = {"torch": "2.11.0+cu128", "numpy": "2.1.3", "ipywidgets": "7.7.1", "transformers": "5.15.0"}


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """A stand-in for Colab, whose pip fails at its first call; returns what pip was asked, call by call."""
    calls, there = [], dict(COLAB)

    def pip(_, *arguments):
        constraints = Path(arguments[1]).read_text()
        calls.append(SimpleNamespace(kept=constraints.split(), wanted=arguments[2:]))
        if len(calls) == 1:
            raise InstallError("The package index could not be reached.")
        there.update({re.match(r"[\w.-]+", row)[0]: "9" for row in arguments[2:] if row.startswith("trl")})

    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    monkeypatch.setattr(startup.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(
        startup, "_versions", lambda names: {name: there[name] for name in names if name in there}
    )
    monkeypatch.setattr(startup, "_loaded", lambda: {"numpy": there["numpy"]})
    monkeypatch.setattr(install, "missing", lambda *_: [] if "trl" in there else ["trl>=1.14,<2"])
    monkeypatch.setattr(install, "pip", pip)
    monkeypatch.setattr(startup, "settle", lambda: None)
    return SimpleNamespace(calls=calls, there=there, folder=tmp_path)


def test_a_first_run_that_fails_leaves_no_mark_and_the_second_goes_on_and_a_third_does_nothing(colab):
    with pytest.raises(InstallError, match="could not be reached"):
        startup.prepare("04_imbalanced_sft")
    assert not list(colab.folder.glob("*.installed"))
    startup.prepare("04_imbalanced_sft")
    assert list(colab.folder.glob("*.installed"))
    startup.prepare("04_imbalanced_sft")
    assert len(colab.calls) == 2


def test_a_mark_from_another_day_does_not_hide_that_packages_are_gone(colab):
    (colab.folder / "triage-lab.installed").touch()
    with pytest.raises(InstallError):
        startup.prepare("04_imbalanced_sft")
    assert len(colab.calls) == 1


def test_colabs_own_torch_numpy_and_ipywidgets_are_kept_and_ranges_are_asked_for(colab):
    with pytest.raises(InstallError):
        startup.prepare("04_imbalanced_sft")
    asked = colab.calls[0]
    assert set(asked.kept) == {"torch==2.11.0+cu128", "numpy==2.1.3", "ipywidgets==7.7.1"}
    assert "torch>=2.11,<3" in asked.wanted
    assert not any("==" in row or "constraints.txt" in row for row in asked.wanted)
    assert not any(re.match("jupyterlab|pytest|llama|unsloth|playwright", row) for row in asked.wanted)


@pytest.mark.parametrize(
    ("notebook", "profile", "extras"),
    [
        ("00_start_here", "", ()),
        ("10_reward_calibration", "nano", ()),
        ("11_quantization", "", ("gguf",)),
        ("12_runtime_parity", "", ("gguf",)),
        ("13_real_weights", "pocket", ("gguf", "real")),
        ("04_imbalanced_sft", "colab", ("gpu",)),
        ("11_quantization", "gpu", ("gguf", "gpu")),
        ("14_report_card", "", ()),
    ],
)
def test_each_notebook_asks_for_what_it_needs_and_no_more(monkeypatch, notebook, profile, extras):
    monkeypatch.setenv("TRIAGE_PROFILE", profile)
    assert startup.extras_of(notebook) == extras
    assert {"gguf", "real", "gpu"} >= set(extras)


def test_a_package_in_use_that_changed_asks_for_a_restart_once(colab, monkeypatch):
    colab.calls.append("the first call, which fails")
    monkeypatch.setattr(startup, "_loaded", lambda: {"numpy": "1.26.4"})
    with pytest.raises(InstallError, match=r"numpy had been in use.*Restart the session"):
        startup.prepare("04_imbalanced_sft")
    startup.prepare("04_imbalanced_sft")  # after the restart
    assert len(colab.calls) == 2


def test_kaggle_is_known_by_its_own_variable_and_needs_no_colab(monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    assert startup.host() == ""
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    assert startup.host() == "Kaggle"


def test_the_first_cell_fetches_the_repository_in_kaggle_or_says_in_one_line_why_not(monkeypatch, tmp_path):
    """Kaggle's internet is off by default; what a broken clone left is cleared away before the next try."""
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "triage-lab" / ".git").mkdir(parents=True)
    commands = []

    def run(command, **_):
        commands.append(command)
        assert not (tmp_path / "triage-lab").exists()
        return SimpleNamespace(returncode=128)

    monkeypatch.setattr("subprocess.run", run)
    with pytest.raises(SystemExit, match="Internet on"):
        exec(notebooks.bootstrap(notebooks.PLAN[0]), {})
    assert commands[0][:2] == ["git", "clone"] and f"--branch={notebooks.release()}" in commands[0]


# ------------------------------------------------------------------------------------- on one's own machine
def test_a_containers_user_without_a_home_gets_one_in_the_build_folder(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    startup.give_home()
    assert os.environ["HOME"] == str(tmp_path) and capsys.readouterr().out == ""
    monkeypatch.setenv("HOME", str(tmp_path / "nonexistent"))
    startup.give_home()
    assert os.environ["HOME"] == str(tmp_path / "build" / "home") and Path(os.environ["HOME"]).is_dir()
    assert "stands in for it" in capsys.readouterr().out


@pytest.fixture
def own_machine(monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)


def test_a_kernel_of_another_environment_is_named_with_the_one_to_choose(own_machine, monkeypatch, tmp_path):
    monkeypatch.setattr(install, "missing", lambda *_: ["torch>=2.11,<3", "trl>=1.14,<2"])
    monkeypatch.setattr(install, "venv_python", lambda: tmp_path)
    monkeypatch.setattr(install, "VENV", tmp_path)
    with pytest.raises(InstallError) as error:
        startup.prepare("00_start_here")
    said = str(error.value)
    assert (
        sys.executable in said
        and "torch>=2.11,<3" in said
        and f"kernel of {tmp_path}" in said
        and "make lab" in said
    )
    assert error.value._render_traceback_() == [f"✗ {said}"], "one message in a notebook, no stack trace"


def test_without_any_environment_the_command_that_makes_one_is_named(own_machine, monkeypatch, tmp_path):
    monkeypatch.setattr(install, "missing", lambda *_: ["torch>=2.11,<3"])
    monkeypatch.setattr(install, "venv_python", lambda: tmp_path / "none")
    with pytest.raises(InstallError, match="make tutorial"):
        startup.prepare("00_start_here")


@pytest.mark.parametrize(
    ("extra", "lacking"), [("real", "wordfreq>=3.1,<4"), ("gpu", "unsloth>=2026.10.9,<2027")]
)
def test_what_the_usual_command_does_not_install_is_named_with_its_own(
    own_machine, monkeypatch, tmp_path, extra, lacking
):
    monkeypatch.setattr(install, "missing", lambda *_: [lacking])
    monkeypatch.setattr(install, "venv_python", lambda: tmp_path / "none")
    with pytest.raises(InstallError, match=rf'-m pip install -c constraints.txt -e "\.\[{extra}\]"'):
        startup.prepare("13_real_weights")


def test_this_environments_kernels_come_before_those_of_a_jupyter_path(monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", "/somebody/else")
    monkeypatch.delenv("PYTHONUTF8", raising=False)
    startup.settle()
    startup.settle()
    assert os.environ["JUPYTER_PATH"].split(os.pathsep) == [f"{sys.prefix}/share/jupyter", "/somebody/else"]
    assert os.environ["PYTHONUTF8"] == "1"


def test_a_notebook_that_is_none_and_a_count_below_one_are_refused():
    with pytest.raises(LabError, match=r"no notebook .99..*00 to 14"):
        notebooks.chosen(["99"], print)
    for option in ("--figure=-1", "--figure=0", "--seeds=0"):
        with pytest.raises(SystemExit):
            main.parser().parse_args(["run", "00", option])


def test_a_long_cells_progress_is_told_while_it_runs(monkeypatch, tmp_path):
    page = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                "from IPython.display import display\n"
                "bar = display({'text/plain': 'runs …'}, raw=True, display_id=True)\n"
                "bar.update({'text/plain': 'runs ██░ 1/12 · 90 s left'}, raw=True)"
            )
        ]
    )
    nbformat.write(page, tmp_path / "in.ipynb")
    told = []
    notebooks.execute(
        SimpleNamespace(path=tmp_path / "in.ipynb", name="00_x"), tmp_path / "out.ipynb", told.append
    )
    assert [line.strip() for line in told] == ["runs ██░ 1/12 · 90 s left"]


def test_a_machine_without_compiler_is_told_about_llama_cpp_in_the_notebooks_that_need_it(
    own_machine, monkeypatch
):
    monkeypatch.setattr(
        install, "missing", lambda *extras: ["llama-cpp-python>=0.3.36,<0.4"] if extras else []
    )
    monkeypatch.setattr(install, "has_compiler", lambda: False)
    startup.prepare("10_reward_calibration")
    with pytest.raises(InstallError, match=r"llama-cpp-python.*C\+\+ compiler.*apt install"):
        startup.prepare("11_quantization")


@pytest.mark.slow
def test_a_run_uses_its_own_interpreter_whatever_kernel_is_called_python3_on_this_computer(
    monkeypatch, tmp_path
):
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(
        '{"argv": ["no-such-python"], "display_name": "x", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    cell = nbformat.v4.new_code_cell("import sys; print(sys.executable)")
    page = tmp_path / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), page)
    notebooks.execute(notebooks.Chapter(str(tmp_path / "one"), "", ""), tmp_path / "out.ipynb", print)
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[0].outputs[0].text.strip() == sys.executable


@pytest.mark.parametrize("backend", ["TkAgg", "Qt5Agg", "module://backend_interagg", "agg"])
def test_a_foreign_backend_is_put_aside_in_a_page_and_told(monkeypatch, capsys, backend):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setenv("MPLBACKEND", backend)
    startup.settle()
    assert os.environ["MPLBACKEND"] == startup.INLINE
    assert backend in capsys.readouterr().out


def test_the_pages_own_backend_is_not_talked_about(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setenv("MPLBACKEND", startup.INLINE)
    startup.settle()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("wanted", "told"),
    [("torch (==2.5.1)", True), ("torch==2.5.1", True), ("torch>=2", False), ("numpy", False)],
)
def test_a_torchvision_of_another_torch_is_told_and_left_out(monkeypatch, tmp_path, capsys, wanted, told):
    """transformers imports torchvision where it finds it, and ends in `operator torchvision::nms does not exist`."""
    folder = tmp_path / "torchvision-0.20.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: torchvision\nVersion: 0.20.1\nRequires-Dist: {wanted}\n"
    )
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("there"))
    startup.settle()
    assert (
        bool(
            re.search(
                r"torchvision 0.20.1 was made for torch.*pip uninstall torchvision", capsys.readouterr().out
            )
        )
        is told
    )
    assert (sys.modules["torchvision"] is None) is told


@pytest.mark.parametrize(
    ("version", "told"), [("0.10.0", True), ("0.15.9", True), ("0.16.0", False), ("0.18.0", False)]
)
def test_an_old_torchao_is_told_and_left_out_so_that_peft_makes_its_adapters(
    monkeypatch, tmp_path, capsys, version, told
):
    """Colab holds 0.10: every LoRA ended in «Found an incompatible version of torchao»."""
    from peft.import_utils import is_torchao_available

    folder = tmp_path / f"torchao-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torchao\nVersion: {version}\n")
    (tmp_path / "torchao.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchao", raising=False)
    is_torchao_available.cache_clear()
    startup.settle()
    assert (f"torchao {version} is older than peft accepts" in capsys.readouterr().out) is told
    assert is_torchao_available() is not told, "peft itself raises where it is told and not left out"
    is_torchao_available.cache_clear()
    sys.modules.pop("torchao", None)


def test_the_notebooks_tests_are_this_repositorys_even_where_a_package_installs_a_tests_of_its_own(
    monkeypatch, tmp_path
):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        monkeypatch.delitem(sys.modules, name)
    startup.settle()
    from tests import exercises

    assert str(install.ROOT) in exercises.__file__


IMPORTS = """
import ast, json, sys
from pathlib import Path
for name in "llama_cpp gguf fastapi sse_starlette starlette_context segno playwright nbclient nbformat jupyterlab pytest llmock".split():
    sys.modules[name] = None  # as if it were not installed
from helpers import lab, startup
for path in sorted(Path("notebooks").glob("*.ipynb")):
    if path.name[:2] not in startup.NOTEBOOK_EXTRAS:
        cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
        for node in [node for cell in cells for node in ast.walk(ast.parse("".join(cell["source"])))]:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                exec(ast.unparse(node), {})
        print(path.name[:2], end=" ")
"""


@pytest.mark.slow
def test_notebooks_without_extras_import_nothing_of_the_extras():
    """Colab installs the extras `gguf` for 11 to 13 only, and never `dev`."""
    command = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(command, cwd=install.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-800:]
    assert done.stdout.split() == ["00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "14"]


# ------------------------------------------------------------------------------------------ without widgets
@pytest.mark.parametrize("broken", ["not installed", "dead"])
def test_a_prediction_can_be_made_without_a_slider(monkeypatch, capsys, broken):
    from helpers import show

    def dead(*_, **__):
        raise RuntimeError("no front end")

    monkeypatch.delenv("TRIAGE_STATIC", raising=False)
    widgets = None if broken == "not installed" else SimpleNamespace(IntSlider=dead)
    monkeypatch.setitem(sys.modules, "ipywidgets", widgets)
    guess = show.predict("How many?", default=0.3)
    assert guess.value == 0.3
    assert "No slider here" in capsys.readouterr().out
    guess.value = 0.6
    assert guess.value == 0.6


def test_a_slider_tells_in_words_how_to_predict_without_it(monkeypatch):
    from helpers.show import figures

    shown = []
    monkeypatch.delenv("TRIAGE_STATIC", raising=False)
    monkeypatch.setattr(figures, "display", shown.append)
    guess = figures.predict("How many?", default=0.3)
    assert ".value" in shown[0].data
    shown[1].value = 70
    assert guess.value == 0.7
