"""Files of pinned npm packages, fetched at first use: the WebAssembly build of llama.cpp.

A package is known by the SHA-512 of its archive, checked every time the kept one is opened: what is served is
what was pinned, wherever it came from. `npm pack` where npm is (it knows mirrors), else the registry.
"""

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from helpers.files import build_dir, write_atomic
from helpers.runtimes.reply import Missing

SECONDS = 120  # patience with a registry


class Package(NamedTuple):
    """A package in one version, by its archive's hash (npm's `dist.integrity`, SHA-512 in base64)."""

    name: str
    version: str
    sha512: str

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

    Raises Missing: the package cannot be had.
    """
    with tarfile.open(fileobj=io.BytesIO(_archive(package))) as tar:
        return {name: tar.extractfile(f"package/{name}").read() for name in names}  # type: ignore[union-attr]


def _archive(package: Package) -> bytes:
    name = package.name.removeprefix("@").replace("/", "-")  # as `npm pack` does
    archive = f"{name}-{package.version}.tgz"
    kept = build_dir() / "npm" / archive
    if kept.is_file() and package.whole(raw := kept.read_bytes()):
        return raw
    refused = []
    for way, fetch in {"npm pack": _by_npm, "the registry": _by_hand}.items():
        try:
            if not package.whole(raw := fetch(package)):
                raise OSError("the archive is not the pinned one (SHA-512 differs)")
        except (OSError, HTTPException, subprocess.SubprocessError) as error:
            refused.append(f"{way}: {' '.join(str(error).split())[-200:]}")
        else:
            write_atomic(kept, raw)
            return raw
    raise Missing(
        f"{package.name} {package.version} could not be fetched, and the page cannot run a model without it. "
        f"{'; '.join(refused)}. Connect to the network once and run the same command again, "
        f"or put {archive} into {kept.parent} yourself."
    )


def _by_npm(package: Package) -> bytes:
    npm = shutil.which("npm")
    if not npm:
        raise FileNotFoundError("npm is not installed")
    with tempfile.TemporaryDirectory() as place:
        command = [npm, "pack", f"{package.name}@{package.version}", "--silent", "--ignore-scripts"]
        how = {"capture_output": True, "text": True, "timeout": SECONDS}
        done = subprocess.run(command, cwd=place, check=False, **how)
        packed = list(Path(place).glob("*.tgz"))
        if done.returncode or not packed:
            raise FileNotFoundError(done.stderr.strip() or f"npm ended with code {done.returncode}")
        return packed[0].read_bytes()


def _by_hand(package: Package) -> bytes:
    last = package.name.rpartition("/")[2]
    url = f"https://registry.npmjs.org/{package.name}/-/{last}-{package.version}.tgz"
    with urllib.request.urlopen(url, timeout=SECONDS) as response:
        return response.read()
