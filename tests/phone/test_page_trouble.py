"""The page in trouble: damaged files, a dead connection, a crash while loading, and browsers that lack
something.
"""

import os
import shutil
import threading
from contextlib import contextmanager

import pytest
from page import RED, ask, say, tab

from helpers.export import export
from helpers.files import DATA
from helpers.runtimes import phone, serve
from helpers.runtimes.serve import serving


def _spoiled(folder, place, change):
    """A copy of the page whose model was changed after it was built."""
    shutil.copytree(folder, place, copy_function=os.link)
    model = place / "model-0.gguf"
    raw = bytearray(model.read_bytes())
    model.unlink()
    if (changed := change(raw)) is not None:
        model.write_bytes(changed)
    return place


def _flip(raw):
    raw[len(raw) // 2] ^= 1
    return raw


def _another(raw):
    """Another model's file of the very same size."""
    return bytes(raw[:-4096]) + bytes(4096)


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("corrupt", _flip, "dañado"),
        ("truncated", lambda raw: raw[:-100_000], "incompleto"),
        ("corrupt", lambda raw: raw + b"x", "dañado"),
        ("corrupt", _another, "dañado"),
        ("missing", lambda raw: None, "No se ha podido descargar"),
    ],
    ids=["flipped", "cut", "longer", "swapped", "missing"],
)
def test_a_damaged_model_is_told_and_never_run_and_can_be_fetched_again(
    browser, folder, tmp_path, kind, change, said
):
    spoiled = _spoiled(folder, tmp_path / "site", change)
    shutil.copyfile(folder / "model-0.gguf", tmp_path / "whole.gguf")
    with serving(spoiled) as address:
        with tab(browser, address, ready=False) as page:
            assert page.get_attribute("body", "data-ready") == kind
            assert said in page.inner_text("#trouble") and "llame" in page.inner_text("#trouble")
            page.select_option("#country", "ES")
            assert page.is_visible("header a[href='tel:112']")
            page.fill("#question", RED)
            page.click("#ask")
            page.wait_for_selector("#ask:not([disabled])")
            assert (
                page.is_hidden("#level")
                and said in page.inner_text("#trouble")
                and page.is_visible("#redflag a[href='tel:112']")
            )
            if kind == "truncated":
                return
            (spoiled / "model-0.gguf").unlink(missing_ok=True)
            shutil.copyfile(tmp_path / "whole.gguf", spoiled / "model-0.gguf")
            page.click("#again")
            page.wait_for_selector("body[data-ready=offline]")
            ask(page)


def test_a_browser_without_webassembly_is_told_to_call(browser, site):
    with tab(browser, site, ready=False, script="delete globalThis.WebAssembly;") as page:
        assert (
            "WebAssembly" in page.inner_text("#trouble")
            and "llame" in page.inner_text("#trouble")
            and page.is_hidden("#again")
        )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("RangeError: could not allocate memory", "memoria libre suficiente"),
        ("some other trouble", "no ha podido arrancar"),
    ],
)
def test_an_engine_that_does_not_start_says_why(browser, site, error, said):
    with tab(browser, site, stub=True, ready=False, script=f"globalThis.LOADING = {error!r};") as page:
        assert said in page.inner_text("#trouble")
        page.evaluate("() => { globalThis.LOADING = ''; }")
        assert say(page, "Nivel de Urgencia: ROJO") == "ROJO"  # asking tries again


def test_where_threads_do_not_start_one_thread_answers(browser, site):
    fails = "let first = true; Object.defineProperty(globalThis, 'LOADING', { get: () => first && ((first = false), 'no threads') });"
    isolated = "Object.defineProperty(globalThis, 'crossOriginIsolated', { value: true });"
    with tab(browser, f"{site}?threads=4", stub=True, script=isolated + fails) as page:
        assert "1 hilo" in page.text_content("#facts")


def test_a_browser_without_suspendable_webassembly_gets_the_engine_for_such_browsers(browser, site, answered):
    row, level = answered
    with tab(browser, site, script="delete WebAssembly.Suspending;") as page:
        assert (
            "compatible" in page.text_content("#facts")
            and page.get_attribute("body", "data-ready") == "offline"
        )
        assert ask(page, row.text) == level
        kept = page.evaluate(
            "async () => (await (await caches.open((await caches.keys())[0])).keys()).map((row) => new "
            "URL(row.url).pathname)"
        )
        assert "/engine/compat.wasm" in kept and "/engine/wllama.wasm" not in kept


# ----------------------------------------------------------------------------- a dead connection, and a crash
class _Stalling:
    """A server that sends half of the model and then nothing, as often as it is asked to."""

    def __init__(self, folder, times):
        self.left = times
        outer = self

        class Handler(serve._Files):
            def copyfile(self, source, outputfile):
                if self.path.endswith(".gguf") and outer.left > 0:
                    outer.left -= 1
                    outputfile.write(source.read(200_000))
                    outputfile.flush()
                    outer.held.wait(60)
                    return
                super().copyfile(source, outputfile)

        self.held, self.handler = threading.Event(), Handler


@contextmanager
def stalling(folder, times, monkeypatch):
    """`times` answers with the model stop half way and never go on."""
    stalled = _Stalling(folder, times)
    monkeypatch.setattr(serve, "_Files", stalled.handler)
    with serving(folder) as address:
        try:
            yield address
        finally:
            stalled.held.set()


def test_a_connection_that_stops_is_tried_again(browser, folder, monkeypatch):
    with (
        stalling(folder, 1, monkeypatch) as address,
        tab(browser, f"{address}?patience=1", ready=False) as page,
    ):
        assert page.get_attribute("body", "data-ready") == "offline"


def test_a_dead_connection_is_told_after_a_bounded_wait_and_the_page_goes_on_when_asked(
    browser, folder, monkeypatch
):
    with (
        stalling(folder, 4, monkeypatch) as address,
        tab(browser, f"{address}?patience=1", ready=False) as page,
    ):
        assert page.get_attribute("body", "data-ready") == "stalled"
        assert "se ha parado" in page.inner_text("#trouble") and page.is_visible("#again")
        page.select_option("#country", "ES")
        assert page.is_visible("header a[href='tel:112']"), "without a model the number still has to be there"
        page.click("#again")
        page.wait_for_selector("body[data-ready=offline]")


CRASHED = "localStorage.getItem('tried') || localStorage.setItem('loading-model', 'model-0.gguf'); localStorage.setItem('tried', 1);"


def test_after_a_crash_the_page_asks_before_it_loads_again(browser, site):
    with tab(browser, site, stub=True, ready=False, script=CRASHED) as page:
        assert page.get_attribute("body", "data-ready") == "crashed"
        assert "se cerró mientras cargaba" in page.inner_text("#trouble") and page.is_hidden("#smaller")
        page.select_option("#country", "ES")
        page.fill("#question", RED)
        page.click("#ask")
        page.wait_for_selector("#ask:not([disabled])")
        assert page.get_attribute("body", "data-ready") == "crashed" and page.is_visible("#redflag")
        page.click("#anyway")
        page.wait_for_selector("body[data-ready=online], body[data-ready=offline]")
        assert say(page, "Nivel de Urgencia: ROJO") == "ROJO"
        page.reload()
        page.wait_for_selector("body[data-ready=online], body[data-ready=offline]")


def test_a_smaller_file_is_offered_after_a_crash_and_remembered(browser, gguf, tmp_path, npm_archives):
    small = export(DATA / "nano-base", tmp_path / "small.gguf", "Q2_K").path
    both = phone.build(gguf, small, out=tmp_path / "site")
    with serving(both) as address, tab(browser, address, ready=False, script=CRASHED) as page:
        assert f"{small.stat().st_size / 1e6:.1f}".replace(".", ",") in page.inner_text("#smaller")
        page.click("#smaller")
        page.wait_for_selector("body[data-ready=offline]")
        assert "small" in page.text_content("#facts")
        page.reload()
        page.wait_for_selector("body[data-ready=offline]")
        assert "small" in page.text_content("#facts")
        kept = page.evaluate(
            "async () => (await (await caches.open((await caches.keys())[0])).keys()).map((row) => new "
            "URL(row.url).pathname)"
        )
        assert "/model-1.gguf" in kept and "/model-0.gguf" not in kept


def test_leaving_while_it_loads_is_no_crash(browser, site):
    with tab(browser, site, stub=True) as page:
        page.evaluate("() => { localStorage.setItem('loading-model', 'model-0.gguf'); }")
        page.reload()
        page.wait_for_selector("body[data-ready=online]")
