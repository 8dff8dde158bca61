"""JupyterLab itself, in a browser: notebooks 00 and 04 run from their first cell to the last, the slider moves,
and a patient typed into the box changes the bars.

A copy of the project is opened, with a handful of training rows: what is asked here is whether the pages work
for a reader, not what they find.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import yaml
from browsers import a_browser

from helpers.files import ROOT

pytestmark = pytest.mark.slow
MINUTE = 60_000  # Playwright counts milliseconds
FEW = {"imbalanced": 96, "imbalanced_epochs": 1}  # an exercise of 04 takes 96
CELLS = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code')
    .map(cell => ({count: cell.model.executionCount, errors: cell.model.outputs.toJSON()
        .filter(output => output.output_type === 'error').map(output => output.ename + ': ' + output.evalue)}))"""
IDLE = """name => { const page = window.jupyterapp?.shell.currentWidget;
    return page?.context?.path.includes(name) && page.sessionContext.session?.kernel?.status === 'idle' }"""
DONE = """() => { const page = window.jupyterapp.shell.currentWidget;
    const codes = page.content.widgets.filter(cell => cell.model.type === 'code');
    const failed = codes.some(cell => cell.model.outputs.toJSON().some(one => one.output_type === 'error'));
    return page.sessionContext.session.kernel.status === 'idle' && (failed || codes.every(cell => cell.model.executionCount)) }"""
ASK = """async code => { const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const request = kernel.requestExecute({code}); let text = '';
    request.onIOPub = message => { if (message.header.msg_type === 'stream') text += message.content.text };
    await request.done; return text.trim() }"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project as a reader has it, with little to train; JupyterLab saves what it opens."""
    place = tmp_path_factory.mktemp("lab")
    for name in ("notebooks", "helpers", "data", "tests/exercises"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "constraints.txt", "README.md"):
        shutil.copy(ROOT / name, place / name)
    profiles = place / "data" / "profiles.yaml"
    settings = yaml.safe_load(profiles.read_text(encoding="utf-8"))
    settings["nano"]["counts"] |= FEW
    profiles.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def lab(copy):
    """JupyterLab's address, with its token."""
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--expose-app-in-browser", "--allow-root"]
    settings = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": "0",
        "ServerApp.root_dir": str(copy),
        "IdentityProvider.token": token,
        "LabApp.news_url": "",
    }
    environment = {name: value for name, value in os.environ.items() if name != "TRIAGE_STATIC"}
    environment |= {"TRIAGE_BUILD": str(copy / "build"), "JUPYTER_RUNTIME_DIR": str(copy / "runtime")}
    environment |= {
        "JUPYTER_CONFIG_DIR": str(copy / "config"),
        "JUPYTERLAB_WORKSPACES_DIR": str(copy / "spaces"),
    }
    log = (copy / "lab.log").open("w")
    server = subprocess.Popen(
        [*command, *(f"--{name}={value}" for name, value in settings.items())],
        cwd=copy,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield f"{_address(copy, server)}lab/tree/notebooks/{{}}.ipynb?token={token}&reset"
    finally:
        server.terminate()
        server.wait(30)


def _address(place, server):
    """Where the server listens: it writes a file once it does."""
    for _ in range(600):
        for file in (place / "runtime").glob("jpserver-*.json"):
            return json.loads(file.read_text())["url"]
        assert server.poll() is None, (place / "lab.log").read_text()
        time.sleep(0.1)
    raise AssertionError((place / "lab.log").read_text())


@pytest.fixture(scope="module")
def browser():
    with a_browser() as started:
        yield started


@contextmanager
def opened(browser, lab, name):
    """A notebook that has run from its first cell to its last."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(MINUTE)
    try:
        page.goto(lab.format(name))
        page.wait_for_function(IDLE, arg=name)
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_function(DONE, timeout=8 * MINUTE)
        yield page
    finally:
        page.close()


def _in_sight(page, selector):
    """JupyterLab draws the cells that are in sight alone: bring the widget's own cell there."""
    page.evaluate(
        """kind => { const notebook = window.jupyterapp.shell.currentWidget.content;
            const place = notebook.widgets.findIndex(cell => cell.model.type === 'code' &&
                cell.model.sharedModel.source.includes(kind));
            notebook.activeCellIndex = place; notebook.scrollToItem(place, 'center') }""",
        selector,
    )


@pytest.mark.parametrize("name", ["00_start_here", "04_imbalanced_sft"])
def test_a_reader_runs_a_notebook_in_jupyterlab_moves_the_slider_and_types_a_patient(browser, lab, name):
    with opened(browser, lab, name) as page:
        cells = page.evaluate(CELLS)
        assert [error for cell in cells for error in cell["errors"]] == []
        assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))

        _in_sight(page, "show.predict(")
        handle = page.locator(".noUi-handle").first
        before = float(page.evaluate(ASK, "print(guess.value)"))
        handle.focus()
        for _ in range(3):
            handle.press("ArrowRight")
        page.wait_for_timeout(500)
        assert float(page.evaluate(ASK, "print(guess.value)")) == pytest.approx(before + 0.03)

        _in_sight(page, "show.patient_box(")
        box = page.locator(".widget-textarea textarea").first
        bars = page.locator(".widget-vbox .widget-html-content").first
        first = bars.inner_text()
        box.fill("Se me pusieron los labios hinchados y me falta el aire después de comer camarones")
        box.blur()
        page.wait_for_function(
            "old => document.querySelector('.widget-vbox .widget-html-content').innerText !== old", arg=first
        )
        shares = [int(share) for share in re.findall(r"(\d+) ?%", bars.inner_text())]
        assert len(shares) == 5 and 97 <= sum(shares) <= 103
