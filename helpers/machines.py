"""Which machines the packages exist for, and what a failed installation means; the standard library alone.

Both are tables: a row is a sign and what is told to the reader.
"""

from __future__ import annotations

import operator
import platform
import re
import sys
import sysconfig
from dataclasses import dataclass

COMPILER = (
    "Debian/Ubuntu: `sudo apt install g++`; macOS: `xcode-select --install`; "
    "Windows: Visual Studio Build Tools"
)
WITHOUT = "Notebooks 00 to 10 need no llama-cpp-python: TRIAGE_GGUF=0 leaves it out."
SERVED = (
    "The packages exist for Python 3.11 to 3.14 on Linux (x86-64 or ARM, glibc 2.28 or newer), on macOS 14 or "
    "newer with Apple silicon, and on 64-bit Windows (x86-64)"
)

# Signs in pip's output (a pattern), and the cause with its cure. The first row that fits the log is told.
DIAGNOSES = {
    "No space left on device": "The disk is full: about 6 GB are needed for the packages and their build.",
    "Long Path support|MAX_PATH|exceeds the OS max path limit|WinError 206|Filename too long": (
        "Windows refuses paths of more than 260 characters. Move the folder to a short path (C:\\lab), or "
        "switch long paths on (pip's page: https://pip.pypa.io/warnings/enable-long-paths)."
    ),
    r"GOMP_|libgomp\.so|undefined reference to `omp_": (
        "conda's linker does not find OpenMP for llama-cpp-python. Run `conda install -c conda-forge "
        "cxx-compiler libgomp`, or leave OpenMP out: CMAKE_ARGS='-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF'."
    ),
    "Illegal instruction|SIGILL": (
        "The compiler or what it built uses instructions that this CPU refuses (an environment that was moved "
        "from another computer?). Delete .venv, unset CFLAGS and CXXFLAGS."
    ),
    "CMAKE_CXX_COMPILER|No CMAKE_C_COMPILER|CMake configuration failed|gcc: not found": (
        f"llama-cpp-python is built from source and found no working C++ compiler ({COMPILER}). {WITHOUT}"
    ),
    "Temporary failure in name resolution|getaddrinfo failed|nodename nor servname|Connection refused|"
    "Failed to establish a new connection|Network is unreachable|Read timed out|Connection to|ProxyError|"
    "CERTIFICATE_VERIFY_FAILED": (
        "The package index could not be reached: no network, a proxy or a certificate in between."
    ),
    "ResolutionImpossible|conflicting dependencies": (
        "A package that is kept as it is (Colab's torch, a constraint of yours) excludes one that is needed."
    ),
    "No matching distribution found|Could not find a version that satisfies": (
        f"The package index answered, and has no version that fits this Python and machine. {SERVED}."
    ),
    "Permission denied|Access is denied|Read-only file system": (
        "The folder of the environment may not be written to."
    ),
}


class InstallError(Exception):
    """What is missing and what to do, in one message."""

    def _render_traceback_(self) -> list[str]:
        """IPython calls this instead of printing a traceback."""
        return [f"✗ {self}"]


def within(version: str, bounds: str) -> bool:
    """Is a version, as "2.11.0+cu128", in a range, as ">=2.11,<3"? The marks of pre-releases are ignored."""
    signs = {">=": operator.ge, "<": operator.lt, "==": operator.eq}

    def numbers(text: str) -> list[int]:
        parts = [int(part) for part in re.split(r"[^\d.]", text)[0].split(".") if part]
        return parts + [0] * (6 - len(parts))

    pairs = re.findall(r"(>=|<|==)([\d.]+)", bounds)
    return all(signs[sign](numbers(version), numbers(bound)) for sign, bound in pairs)


@dataclass(frozen=True)
class Machine:
    """What decides whether there are packages for this computer.

    Attributes:
        python: version, and `t` for a build without the GIL. libc: of Linux, with its version, as
            ("glibc", "2.36"). macos: version, empty elsewhere.
    """

    python: str = platform.python_version() + "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    system: str = platform.system()
    processor: str = platform.machine().lower()
    bits: int = 64 if sys.maxsize > 2**32 else 32
    libc: tuple[str, str] = platform.libc_ver()
    macos: str = platform.mac_ver()[0]

    def refusal(self) -> str:
        """Why there are no packages for this machine; empty where there are."""
        system, (libc, version) = self.system, self.libc
        linux, mac = system == "Linux", system == "Darwin"
        intel, arm = self.processor in ("x86_64", "amd64"), self.processor in ("aarch64", "arm64")
        musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "") or libc == "musl"
        old = libc == "glibc" and not within(version, ">=2.28")
        rows = (
            (not within(self.python, ">=3.11,<3.15"), f"this is Python {self.python}"),
            (self.python.endswith("t"), f"this is Python {self.python}, a build without the GIL"),
            (self.bits == 32, "this Python is a 32-bit one"),
            (mac and intel, "this is an Intel Mac, or an Intel Python on Apple silicon"),
            (mac and not within(self.macos, ">=14"), f"this is macOS {self.macos}"),
            (system == "Windows" and not intel, "this is Windows on ARM (an x86-64 Python runs there too)"),
            (linux and musl, "this Linux uses musl, as Alpine does (Debian's image python:3.12 has glibc)"),
            (linux and old, f"this Linux has glibc {version}"),
            (linux and not (intel or arm), f"this is {self.processor}"),
            (system not in ("Linux", "Darwin", "Windows"), f"this is {system}"),
        )
        return next((why for refused, why in rows if refused), "")


def explain(log: str) -> str:
    """The likely cause of a failed pip run, from its log."""
    cause = next((cause for signs, cause in DIAGNOSES.items() if re.search(signs, log)), "pip failed.")
    tail = "\n".join(line for line in log.splitlines()[-40:] if "error" in line.lower())[-600:]
    return f"{cause} Mend that and run the same again; what is installed stays.\n{tail}".rstrip()
