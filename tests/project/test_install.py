"""The environment: what is refused before pip, what a failed pip means, and what is installed in which order."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from helpers import __main__ as main
from helpers import install, machines
from helpers.files import ROOT

HERE = {
    "python": "3.12.4", "system": "Linux", "processor": "x86_64", "bits": 64, "libc": ("glibc", "2.36"), "macos": "",
}  # fmt: skip
MAC = {"system": "Darwin", "processor": "arm64", "libc": ("", ""), "macos": "14.5"}
WINDOWS = {"system": "Windows", "processor": "amd64", "libc": ("", "")}


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        ({"python": "3.10.13"}, "This is Python 3.10.13"),
        ({"python": "3.15.0"}, "This is Python 3.15.0"),
        ({"python": "3.15.0a3"}, "This is Python 3.15.0a3"),
        ({"python": "3.14.0t"}, "without the GIL"),
        ({"bits": 32}, "32-bit"),
        ({**MAC, "processor": "x86_64"}, "Intel Mac"),
        ({**MAC, "macos": "13.7"}, "macOS 13.7"),
        ({**WINDOWS, "processor": "arm64"}, "Windows on ARM"),
        ({"libc": ("musl", "1.2")}, "musl"),
        ({"libc": ("glibc", "2.27")}, "glibc 2.27"),
        ({"processor": "riscv64"}, "riscv64"),
        ({"system": "FreeBSD"}, "FreeBSD"),
    ],
)
def test_a_machine_without_packages_is_refused_before_pip_and_told_what_is_served(machine, why, monkeypatch):
    monkeypatch.setattr(install, "Machine", lambda: machines.Machine(**{**HERE, **machine}))
    with pytest.raises(machines.InstallError) as refused:
        install.check_machine()
    assert why in str(refused.value)
    for served in ("3.11 to 3.14", "macOS 14", "Windows (x86-64)", "glibc 2.28"):
        assert served in str(refused.value)


@pytest.mark.parametrize(
    "machine",
    [
        {},
        {"python": "3.11.0"},
        {"python": "3.14.2"},
        {"processor": "aarch64"},
        MAC,
        {**MAC, "macos": "26.1"},
        WINDOWS,
    ],
)
def test_a_machine_that_is_served_passes(machine):
    assert machines.Machine(**{**HERE, **machine}).refusal() == ""


def test_musl_is_known_by_what_this_python_was_built_for(monkeypatch):
    """platform.libc_ver() is empty on Alpine."""
    monkeypatch.setattr(machines.sysconfig, "get_config_var", lambda _: "x86_64-pc-linux-musl")
    assert "musl" in machines.Machine(**{**HERE, "libc": ("", "")}).refusal()


def test_the_machine_of_this_run_is_served():
    install.check_machine()
    assert machines.Machine().python.startswith(f"{sys.version_info[0]}.{sys.version_info[1]}")


def test_a_disk_too_small_is_refused_before_anything_is_fetched(monkeypatch):
    monkeypatch.setattr(install.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**8))
    with pytest.raises(machines.InstallError, match="disk is too full"):
        install.check_disk()


LOST = "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError: Failed to establish a new connection'\n"
NONE = "ERROR: No matching distribution found for torch==2.13.0\n"


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "disk is full",
        ),
        (
            "CMake Error: CMAKE_CXX_COMPILER not set, after EnableLanguage",
            r"no working C\+\+ compiler.*TRIAGE_GGUF=0",
        ),
        (LOST + NONE, "index could not be reached"),
        (NONE, "index answered, and has no version.*3.11 to 3.14"),
        ("ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED]\n" + NONE, "certificate"),
        (
            "/opt/conda/compiler_compat/ld: libggml-cpu.so: undefined reference to `GOMP_barrier@GOMP_1.0'\n"
            "CMake configuration failed",
            "conda's linker.*GGML_OPENMP=OFF",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 2] No such file or directory: 'C:\\\\Users\\\\…'\n"
            "HINT: This error might have occurred since this system does not have Windows Long Path support enabled.",
            "260 characters",
        ),
        (
            "error MSB3491: Could not write lines to file. Path exceeds the OS max path limit.",
            "260 characters",
        ),
        ("/bin/sh: line 1:  4242 Illegal instruction     (core dumped) cc1plus", "this CPU refuses"),
        ("ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/", "kept as it is"),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/usr'",
            "written to",
        ),
        ("something else", "pip failed"),
    ],
)
def test_a_failed_installation_says_why_and_what_next(log, cause):
    said = machines.explain(log)
    assert re.search(cause, said)
    assert "run the same again; what is installed stays" in said


@pytest.fixture
def fake_pip(monkeypatch, tmp_path):
    """A `.venv` whose Python writes down what it was asked; returns those lines."""
    asked = tmp_path / "asked"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$CMAKE_ARGS $@" >> {asked}\n')
    python.chmod(0o755)
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    monkeypatch.delenv("TRIAGE_GGUF", raising=False)
    monkeypatch.setattr(install, "venv_python", lambda: python)
    return lambda: [line for line in asked.read_text().splitlines() if "pip --version" not in line]


def test_the_exact_set_is_installed_and_llama_cpp_last_without_the_building_machines_instructions(fake_pip):
    """A machine that names AMX and refuses it ends a native build with «Illegal instruction» at the first
    quantized file.
    """
    install.install()
    first, second, probe = fake_pip()
    assert "--constraint constraints.txt" in first and ".[dev]" in first and "llama" not in first
    assert "--constraint constraints.txt" in second and "llama-cpp-python>=" in second
    assert "-DGGML_NATIVE=OFF" in second and "--no-cache-dir" in second
    assert "import llama_cpp" in probe


@pytest.mark.parametrize("reason", ["no C\\+\\+ compiler .*apt install g\\+\\+", "TRIAGE_GGUF=0"])
def test_without_a_compiler_or_if_asked_everything_but_llama_cpp_is_installed(
    fake_pip, monkeypatch, capsys, reason
):
    if reason == "TRIAGE_GGUF=0":
        monkeypatch.setenv("TRIAGE_GGUF", "0")
    monkeypatch.setattr(install, "has_compiler", lambda: reason == "TRIAGE_GGUF=0")
    monkeypatch.setattr(install, "missing", lambda *_: ["llama-cpp-python>=0.3"])
    install.install()
    assert len(fake_pip()) == 1 and "llama" not in fake_pip()[0]
    assert re.search(f"11, 12 and 13 are left out.*{reason}", capsys.readouterr().out)


def test_blanks_around_the_profiles_name_change_nothing_of_what_is_installed(monkeypatch):
    monkeypatch.setenv("TRIAGE_PROFILE", " pocket ")
    assert "real" in install.wanted_extras()


def test_an_interrupted_installation_leaves_no_pip_behind(monkeypatch, tmp_path):
    """The next run would start a second one in the same environment."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    python.chmod(0o755)

    def interrupted(*_, **__):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(install.queue.Queue, "get", interrupted)
    with pytest.raises(KeyboardInterrupt):
        install.pip(python)
    with contextlib.suppress(psutil.NoSuchProcess):  # it may be gone already
        psutil.Process(int((tmp_path / "pid").read_text())).wait(5)  # raises TimeoutExpired: pip still runs


def test_a_command_that_needs_what_could_not_be_built_is_one_message(monkeypatch, capsys):
    def phone(_):
        raise ModuleNotFoundError("No module named 'llama_cpp'", name="llama_cpp")

    monkeypatch.setattr(main, "phone", phone)
    monkeypatch.setattr(main, "ensure", lambda _: None)
    monkeypatch.setattr(main, "missing", lambda *_: ["llama-cpp-python>=0.3.36,<0.4"])
    monkeypatch.setattr(sys, "argv", ["helpers", "phone"])
    assert main.main() == 1
    assert re.search(r"needs llama-cpp-python.*compiler builds it.*apt install", capsys.readouterr().err)


def test_a_notebook_whose_packages_are_missing_is_left_out_and_named(monkeypatch, capsys):
    from helpers import lab, notebooks

    executed = []
    monkeypatch.setattr(notebooks, "missing", lambda *_: ["llama-cpp-python>=0.3"])
    monkeypatch.setattr(install, "has_compiler", lambda: False)
    monkeypatch.setattr(notebooks, "execute", lambda chapter, *_: executed.append(chapter.name[:2]) or {})
    monkeypatch.setattr(lab, "report", lambda: "")
    assert main.run(main.parser().parse_args(["run"])) == 0
    assert "10" in executed and "11" not in executed and "12" not in executed
    assert re.search(r"11_quantization is left out.*llama-cpp-python.*g\+\+", capsys.readouterr().out)


def test_a_build_for_another_cpu_is_told_by_the_signal_that_ends_it(tmp_path):
    for name, code, said in (
        ("ill", f"kill -{signal.SIGILL.value} $$", "another CPU"),
        ("other", "exit 1", ""),
    ):
        python = tmp_path / name
        python.write_text(f"#!/bin/sh\n{code}\n")
        python.chmod(0o755)
        assert said in install.llama_refusal(python) and bool(said) == bool(install.llama_refusal(python))


def test_the_clock_runs_while_pip_prints_nothing(monkeypatch, tmp_path, capsys):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "Building wheel for llama-cpp-python"\nsleep 3.5\n')
    python.chmod(0o755)
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())  # a page, where one line is redrawn
    install.pip(python)
    seconds = re.findall(r"\r\[ *(\d+) s\] Building wheel for", capsys.readouterr().out)
    assert len(set(seconds)) >= 3, "one line, drawn again every second"


def test_a_python_without_ensurepip_and_a_folder_that_is_read_only_are_one_message_each(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(install, "VENV", tmp_path / "none")
    for error, said in (
        (subprocess.CalledProcessError(1, "ensurepip"), "python3-venv"),
        (PermissionError(13, "Permission denied"), "cannot be made: Permission denied"),
    ):
        monkeypatch.setattr(
            install.venv, "create", lambda *_, failure=error, **__: (_ for _ in ()).throw(failure)
        )
        with pytest.raises(machines.InstallError, match=said):
            install.install()


def test_an_environment_that_was_interrupted_before_it_had_pip_is_made_anew(monkeypatch, tmp_path):
    broken = tmp_path / ".venv"
    install.venv.create(broken, with_pip=False)
    monkeypatch.setattr(install, "VENV", broken)
    made = []
    monkeypatch.setattr(install.venv, "create", lambda place, **how: made.append((place, how)))
    monkeypatch.setattr(install, "pip", lambda *_, **__: None)
    monkeypatch.setattr(install, "llama_refusal", lambda *_: "")
    install.install()
    assert made == [(broken, {"with_pip": True, "clear": True})]


def test_a_package_whose_folder_lost_its_metadata_counts_as_missing(monkeypatch):
    monkeypatch.setattr(install.metadata, "version", lambda name: None if name == "torch" else "9999")
    assert any(row.startswith("torch>") for row in install.missing())


def test_an_index_that_answers_without_the_package_is_not_called_a_network_error(monkeypatch, tmp_path):
    """A real pip, with an empty folder as its index."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(machines.InstallError, match="The package index answered"):
        install.pip(sys.executable, "--no-index", f"--find-links={tmp_path}", "no-such-package-for-the-lab")


@pytest.mark.slow
def test_without_a_network_the_installation_ends_in_one_message(tmp_path):
    """A real pip run in a copy of the project, with an index that refuses connections."""
    (tmp_path / "helpers").mkdir()
    for path in (ROOT / "helpers").glob("*.py"):
        (tmp_path / "helpers" / path.name).write_text(path.read_text())
    text = (ROOT / "pyproject.toml").read_text().replace("README.md", "pyproject.toml")
    dependencies = 'dependencies = ["no-such-package-for-the-lab>=1,<2"]'
    (tmp_path / "pyproject.toml").write_text(
        re.sub(r"dependencies = \[.*?\n\]", dependencies, text, count=1, flags=re.DOTALL)
    )
    (tmp_path / "constraints.txt").write_text("")
    dead = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "1",  # with none pip does not say that the connection failed
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DEFAULT_TIMEOUT": "2",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")} | dead
    environment["PYTHONPATH"] = ""
    done = subprocess.run(
        [sys.executable, "-m", "helpers", "run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 1
    assert "package index could not be reached" in done.stderr and "Traceback" not in done.stderr


# ------------------------------------------------------------------------------------------ the command line
@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_an_output_that_is_not_utf8_costs_a_sign_and_no_command(encoding):
    command = [sys.executable, "-m", "helpers", "run", "--write", "00"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == 1 and b"whole series" in done.stderr and b"Traceback" not in done.stderr


def test_a_desktops_backend_for_figures_is_put_aside_on_the_command_line(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://backend_of_an_editor")
    monkeypatch.setattr(sys, "argv", ["helpers", "badges"])
    monkeypatch.setattr(main, "ensure", lambda _: None)
    with pytest.MonkeyPatch.context() as patch:
        from helpers import notebooks

        patch.setattr(notebooks, "write_badges", list)
        assert main.main() == 0
    assert "MPLBACKEND" not in os.environ


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_jupyterlab_starts_for_root_too(monkeypatch, user, allowed):
    """Jupyter refuses root, whom most containers run as; it listens on loopback only."""
    asked = []
    monkeypatch.setattr(main.os, "geteuid", lambda: user)
    monkeypatch.setattr(main, "_modules", lambda command: asked.append(command) or 0)
    assert main.lab(None) == 0
    assert ("--ServerApp.allow_root=True" in asked[0]) is allowed
    assert "--ServerApp.ip=127.0.0.1" in asked[0]
