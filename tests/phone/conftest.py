"""One browser, one server and one small model for all tests of the page. The model is trained here for a few
seconds: it knows five answers by heart."""

from dataclasses import replace

import pytest
import torch
from browsers import a_browser
from page import known, tab
from tools import fine_tuned

from helpers import cases, train
from helpers.export import export
from helpers.runtimes import LlamaCpp, phone
from helpers.runtimes.serve import serving
from helpers.triage import LEVELS, parse


@pytest.fixture(scope="module")
def browser():
    with a_browser("--host-resolver-rules=MAP lab.test 127.0.0.1") as started:
        yield started


@pytest.fixture(scope="session")
def gguf(tmp_path_factory):
    place = tmp_path_factory.mktemp("model")
    nano = train.profile_named("nano")
    quick = replace(nano, sft={**nano.sft, "batch": len(LEVELS), "learning_rate": 8e-3})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for so little, two wait for each other
    try:
        fine_tuned(cases.chat_rows(known()), place / "tiny", quick, updates=100)
    finally:
        torch.set_num_threads(threads)
    return export(place / "tiny", place / "pequeño.gguf", "Q5_K_M").path


@pytest.fixture(scope="session")
def folder(gguf, tmp_path_factory, engine, shared_build):
    """Read only."""
    with shared_build():
        return phone.build(gguf, out=tmp_path_factory.mktemp("phone") / "site")


@pytest.fixture(scope="session")
def site(folder):
    with serving(folder) as address:
        yield address


@pytest.fixture(scope="session")
def answered(gguf):
    """A question and the level that llama.cpp gives to it."""
    row = known()[1]
    with LlamaCpp(gguf) as model:
        reading = parse(model.complete([row])[0].text)
    assert reading.level and reading.name_agrees, "the small model did not learn its few answers"
    return row, reading.level


@pytest.fixture(scope="module")
def stubbed(browser, site):
    """A tab with the stub engine, for tests that only look at what is made of an answer."""
    with tab(browser, site, stub=True) as page:
        yield page
