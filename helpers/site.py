"""The series as a static site, for `make site`: the committed notebooks as they stand, made into pages by Sphinx.

Sphinx and its theme live in an environment of their own, `build/site-venv`: nothing that computes a number shares a
package with them. What the pages look like stands in `docs/`. Nothing is executed.
"""

import shutil
import subprocess
import time
import venv
from pathlib import Path

from helpers.files import ROOT, LabError, build_dir, fingerprint, write_atomic
from helpers.install import pip, requirements, venv_python
from helpers.runtimes import phone
from helpers.runtimes.reply import Missing

CONSTRAINTS = ROOT / "constraints.txt"
WITHOUT_PHONE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>The phone's page</title>
<main><h1>The phone's page</h1><p>This copy of the site was built without it.</p></main>"""
LAST_WORDS = 2000  # characters of Sphinx's complaint that are worth reading


def build(out: Path) -> str:
    """Make the site in `out`, and tell what was made.

    Raises LabError: a page has a mistake, such as a link that leads nowhere; the message names it.
    """
    started, out = time.time(), out.resolve()
    command = [str(environment()), "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    places = ["--conf-dir", "docs", "--doctree-dir", str(out.with_name("site-trees")), ".", str(out)]
    done = subprocess.run(
        [*command, "--jobs", "auto", *places], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"Sphinx refuses a page. It says:\n{done.stderr[-LAST_WORDS:]}")
    shutil.copyfile(out / "README.html", out / "index.html")
    told = f"{sum(1 for _ in out.rglob('*.html'))} pages in {time.time() - started:.0f} s: {out}"
    return f"{told}\n{add_phone(out / 'phone')}\nLook at them: python3 -m http.server --directory {out}"


def add_phone(out: Path) -> str:
    """Put the phone's page beside the others, and tell with which model: the last one that was packed, if any."""
    packed = build_dir() / "phone" / "site"
    shutil.rmtree(out, ignore_errors=True)
    if (packed / "sw.js").is_file():
        shutil.copytree(packed, out)
        return "The phone's page holds the model that `python -m helpers phone` packed last."
    try:
        phone.build(out=out)
    except Missing as reason:
        write_atomic(out / "index.html", WITHOUT_PHONE)
        return f"The phone's page is left out. {reason}"
    return "The phone's page asks its reader for a model; `python -m helpers phone` packs one."


def environment() -> Path:
    """The interpreter of `build/site-venv`, which is made if it is not there or the versions have changed."""
    place = build_dir().resolve() / "site-venv"
    wanted = [name + bounds for name, bounds in requirements("site").items() if name not in requirements()]
    key, stamp = fingerprint([wanted, CONSTRAINTS.read_text(encoding="utf-8")]), place / "installed"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != key:
        print(f"Installing Sphinx and its theme into {place}: about a minute, once.", flush=True)
        venv.create(place, with_pip=True, clear=True)
        pip(venv_python(place), "--constraint", str(CONSTRAINTS), *wanted)
        write_atomic(stamp, key)
    return venv_python(place)
