"""Files of pinned npm packages, fetched at first use and never kept in git: the WebAssembly build of llama.cpp, the accessibility checker.

A package is known by the SHA-512 of its archive. The archive is kept under `build/npm/` and checked every time it is opened, so that what
is served is what was pinned, wherever it came from: `npm pack` where npm is (it knows about mirrors), else the registry's own address.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from helpers.files import LabError, build_dir, write_atomic

SECONDS = 120  # patience with a registry


@dataclass(frozen=True)
class Package:
    """A package in one version, by the hash of its archive (npm's `dist.integrity`, the SHA-512 in base64)."""

    name: str
    version: str
    sha512: str

    @property
    def archive(self) -> str:
        """The archive's file name, as `npm pack` writes it."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    @property
    def url(self) -> str:
        """Its address in the registry."""
        return f"https://registry.npmjs.org/{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"

    def whole(self, raw: bytes) -> bool:
        """Is this the pinned archive?"""
        return base64.b64encode(hashlib.sha512(raw).digest()).decode() == self.sha512


WLLAMA = Package(
    "@wllama/wllama",
    "3.8.1",
    "Pl7BEJhPU8OHnV/yhn3DFZYhLLOdSHh+4TND79WCftHnlUAdQPAsyc/CfIOY+4mVxvf5VW3Xw3Uf7BBfotS1gw==",
)
# The same for browsers without JSPI or 64-bit memory (Safari): slower, and twice the size.
WLLAMA_COMPAT = Package(
    "@wllama/wllama-compat",
    "3.8.1",
    "IvmjrJ+JzDbt3w1FQq1yAmnFEiLGCceowK2Q80zW+k9ChFkPBM1ByX/9xm2xVxyd8MHC50VpuDo6SDE83k9kIQ==",
)


def files(package: Package, names: tuple[str, ...]) -> dict[str, bytes]:
    """Content of these files of a package, by name ("esm/index.min.js"). Nothing is unpacked to disk.

    Raises:
        LabError: the package cannot be had, or lacks a file.
    """
    with tarfile.open(fileobj=io.BytesIO(_archive(package))) as tar:
        found = {member.name.removeprefix("package/"): member for member in tar if member.isfile()}
        if absent := [name for name in names if name not in found]:
            raise LabError(
                f"{package.name} {package.version} holds no {', '.join(absent)}. The pin in helpers/runtimes/npm.py is wrong."
            )
        return {name: tar.extractfile(found[name]).read() for name in names}  # type: ignore[union-attr]


def _archive(package: Package) -> bytes:
    kept = build_dir() / "npm" / package.archive
    if kept.is_file() and package.whole(raw := kept.read_bytes()):
        return raw
    said = []
    for way in (_by_npm, _by_hand):
        try:
            raw = way(package)
        except (OSError, subprocess.SubprocessError) as error:
            said.append(f"{way.__doc__}: {' '.join(str(error).split())[-200:]}")
            continue
        if package.whole(raw):
            write_atomic(kept, raw)
            return raw
        said.append(f"{way.__doc__}: the archive is not the pinned one (SHA-512 differs)")
    raise LabError(
        f"{package.name} {package.version} could not be fetched, and the page cannot run a model without it. {'; '.join(said)}. "
        f"Connect to the network once and run the same command again, or put {package.archive} into {kept.parent} yourself."
    )


def _by_npm(package: Package) -> bytes:
    """npm pack"""
    npm = shutil.which("npm")
    if not npm:
        raise FileNotFoundError("npm is not installed")
    with tempfile.TemporaryDirectory() as place:
        command = [
            npm,
            "pack",
            f"{package.name}@{package.version}",
            "--silent",
            "--ignore-scripts",
            "--pack-destination",
            place,
        ]
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, check=False, timeout=SECONDS
        )
        packed = Path(place) / package.archive
        if done.returncode or not packed.is_file():
            raise FileNotFoundError(done.stderr.strip() or f"npm ended with code {done.returncode}")
        return packed.read_bytes()


def _by_hand(package: Package) -> bytes:
    """the registry"""
    with urllib.request.urlopen(package.url, timeout=SECONDS) as response:
        return response.read()
