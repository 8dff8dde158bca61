"""The page without its server: what it keeps, what it promises, and a new build beside an old one."""

import pytest
from page import ask, tab

from helpers.export import export
from helpers.files import DATA
from helpers.runtimes import phone
from helpers.runtimes.browser import open_page
from helpers.runtimes.serve import serving


def test_after_the_first_visit_the_page_answers_with_its_server_stopped(browser, folder, answered):
    row, level = answered
    with serving(folder) as address:
        stack = tab(browser, address)
        page = stack.__enter__()
    try:
        page.reload()
        page.wait_for_selector("body[data-ready=offline]")
        assert page.evaluate("() => crossOriginIsolated"), "the service worker's answers lost the headers"
        assert ask(page, row.text) == level
        with pytest.raises(Exception, match="Failed to fetch"):
            page.evaluate("() => fetch('/not-kept')")
        again = page.context.new_page()
        open_page(again, address)
        assert ask(again, row.text) == level
    finally:
        stack.__exit__(None, None, None)


def test_a_new_model_replaces_the_old_one_when_the_page_is_opened_again(
    browser, folder, tmp_path, npm_archives
):
    with serving(folder) as address:
        stack = tab(browser, address)
        page = stack.__enter__()
    try:
        other = phone.build(
            export(DATA / "nano-base", tmp_path / "nuevo.gguf", "Q2_K").path,
            out=tmp_path / "site",
        )
        with serving(other, port=int(address.rstrip("/").rpartition(":")[2])):
            page.reload()
            page.wait_for_selector("body[data-ready=offline]")
            assert "pequeño" in page.text_content("#facts"), "half of a new build was used"
            page.wait_for_selector("#offline >> text=Hay una versión nueva", state="attached")
            page.evaluate(
                "async () => { const r = await navigator.serviceWorker.ready; while (!r.waiting) await new "
                "Promise((go) => setTimeout(go, 50)); }"
            )
            kept = page.context
            blank = kept.new_page()
            page.close()
            for _ in range(40):
                blank.goto("about:blank")
                fresh = kept.new_page()
                open_page(fresh, address)
                if "nuevo" in fresh.text_content("#facts"):
                    break
                fresh.close()
            assert "nuevo" in fresh.text_content("#facts")
            assert len(fresh.evaluate("() => caches.keys()")) == 1, "the old build was kept"
    finally:
        stack.__exit__(None, None, None)


def test_another_page_of_the_same_origin_keeps_its_cache_whatever_this_page_does(browser, site):
    with tab(browser, site) as page:
        others = {"somebody else", "triage-old", f"triage {site}another/ 1"}
        page.evaluate("names => Promise.all(names.map((name) => caches.open(name)))", sorted(others))
        with page.expect_navigation():
            page.evaluate("() => document.getElementById('again').click()")
        page.wait_for_selector("body[data-ready=offline]")
        assert others < set(page.evaluate("() => caches.keys()"))


def test_over_plain_http_it_answers_and_says_that_it_cannot_be_kept(browser, site, answered):
    row, level = answered
    with tab(browser, site.replace("127.0.0.1", "lab.test")) as page:
        assert page.get_attribute("body", "data-ready") == "online" and not page.evaluate(
            "() => isSecureContext"
        )
        assert "https" in page.text_content("#offline") and page.inner_text("#status") == "Listo."
        assert ask(page, row.text) == level


def test_where_the_service_worker_is_refused_it_answers_and_says_so(browser, site):
    with tab(
        browser, site, script="navigator.serviceWorker.register = () => Promise.reject(new Error('no'));"
    ) as page:
        assert page.get_attribute(
            "body", "data-ready"
        ) == "online" and "no funcionará sin conexión" in page.text_content("#offline")


def test_the_promise_is_made_only_where_the_browser_promises_to_keep_it(browser, site):
    with tab(browser, site) as page:
        assert "puede borrarla" in page.text_content("#offline") and "De momento" in page.inner_text(
            "#status"
        )
    with tab(browser, site, script="navigator.storage.persisted = () => Promise.resolve(true);") as page:
        assert page.inner_text("#status") == "Listo. Funciona también sin conexión."
        assert "funciona sin conexión" in page.text_content("#offline")


def test_what_the_cache_has_lost_is_not_promised(browser, site):
    losing = """const match = Cache.prototype.match;
                Cache.prototype.match = function (path) { return `${path}`.endsWith(".gguf") ? Promise.resolve(undefined) : match.call(this, path); };"""
    with tab(browser, site, script=losing) as page:
        assert page.get_attribute("body", "data-ready") == "online" and page.inner_text("#status") == "Listo."


def test_on_a_host_that_sets_no_header_threads_work_from_the_service_worker_alone(browser, site, answered):
    row, level = answered
    with tab(browser, f"{site}?threads=2", ready=False) as page:
        page.wait_for_function("() => crossOriginIsolated")
        page.wait_for_selector("body[data-ready=offline]")
        assert "2 hilos" in page.text_content("#facts") and ask(page, row.text) == level
