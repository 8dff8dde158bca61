"""The static site, built and looked at in a browser: links, narrow screens, dark mode, screen readers, search.

`make test-site` alone runs this file: it takes minutes, and installs Sphinx the first time.
"""

import shutil
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest
from browsers import a_browser

from helpers import notebooks, site
from helpers.runtimes.browser import PHONE

pytestmark = [pytest.mark.site, pytest.mark.slow]


class Page(HTMLParser):
    """Anchors, links and pictures of a page."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.pictures, self.terms = set(), [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors.add(found.get("id"))
        self.links += [found[key] for key in ("href", "src") if found.get(key)]
        if tag == "img":
            self.pictures.append((found.get("src", ""), found.get("alt") or ""))
        if "term" in (found.get("class") or "").split():
            self.terms.append((found["href"], found.get("title") or ""))


@pytest.fixture(scope="module")
def built(shared_build, engine):
    """Made anew, in the checkout's own `build/`; where Sphinx is installed stays."""
    with shared_build() as folder:
        for name in ("site", "site-trees"):
            shutil.rmtree(folder / name, ignore_errors=True)
        print(site.build(folder / "site"))
    return folder / "site"


@pytest.fixture(scope="module")
def pages(built):
    return {path: Page(path) for path in sorted(built.rglob("*.html"))}


@pytest.fixture(scope="module")
def address(built):
    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(built)))
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    with a_browser("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1") as started:
        yield started


@contextmanager
def tab(browser, scheme="light"):
    context = browser.new_context(viewport=PHONE, color_scheme=scheme, bypass_csp=True)
    try:
        yield context.new_page()
    finally:
        context.close()


def test_every_notebook_has_a_page_and_the_first_one_is_the_readme(built):
    for chapter in notebooks.PLAN:
        assert (built / "notebooks" / f"{chapter.name}.html").is_file()
    assert "The triage lab" in (built / "index.html").read_text(encoding="utf-8")


def test_no_link_inside_the_site_leads_nowhere(built, pages):
    dead, followed = [], 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            found = target.is_file() and target.is_relative_to(built.resolve())
            if found and parts.fragment and target.suffix == ".html":
                found = unquote(parts.fragment) in pages[target].anchors
            dead += [] if found else [f"{path.relative_to(built)}: {link}"]
            followed += 1
    assert dead == []
    assert followed > 1000


def test_every_figure_of_a_notebook_is_there_and_says_in_words_what_it_shows(built, pages):
    for chapter in notebooks.PLAN:
        outputs = [row for cell in notebooks.read(chapter.path).cells for row in cell.get("outputs", [])]
        drawn = sum("image/png" in row.get("data", {}) for row in outputs)
        shown = pages[built / "notebooks" / f"{chapter.name}.html"].pictures
        figures = [alt for source, alt in shown if "_images/" in source]
        assert len(figures) == drawn, chapter.name
        assert all(len(alt) > 30 for alt in figures), chapter.name
    for path, page in pages.items():
        assert all(alt and Path(alt).suffix != ".png" for _, alt in page.pictures), path


def test_terms_show_their_meaning_and_lead_to_the_glossary(built, pages):
    for chapter in notebooks.PLAN:
        terms = pages[built / "notebooks" / f"{chapter.name}.html"].terms
        assert terms, chapter.name
        assert len({link for link, _ in terms}) == len(terms), "once a page"
        assert all(link.startswith("../docs/glossary.html#") and len(title) > 30 for link, title in terms)


def test_nothing_is_asked_of_another_host_but_the_badges_picture(built, pages):
    for path, page in pages.items():
        loaded = [source for source, _ in page.pictures if source.startswith("http")]
        assert all(source.endswith("colab-badge.svg") for source in loaded), path
        assert '<script src="http' not in path.read_text(encoding="utf-8"), path


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_every_page_fits_and_has_no_serious_barrier(browser, built, pages, address, axe, scheme):
    wrong = []
    with tab(browser, scheme) as page:
        for path in pages:
            name = path.relative_to(built).as_posix()
            page.goto(address + name, wait_until="domcontentloaded")
            wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
            wrong += [f"{name}: {wide} px too wide"] if wide > 0 else []
            page.evaluate(axe)
            found = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")["violations"]
            serious = [row for row in found if row["impact"] in ("serious", "critical")]
            wrong += [f"{name}: {row['id']}: {row['nodes'][0]['html'][:200]}" for row in serious]
    assert wrong == []


def test_dark_mode_is_dark(browser, address):
    grounds = []
    for scheme in ("light", "dark"):
        with tab(browser, scheme) as page:
            page.goto(address)
            ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
            grounds.append(sum(int(part) for part in ground.removeprefix("rgb(").rstrip(")").split(",")))
    assert grounds[0] > 600 and grounds[1] < 150


def test_the_search_finds_the_disclaimer(browser, address):
    with tab(browser) as page:
        page.goto(f"{address}search.html?q=disclaimer")
        # Results come one after another; the test fails with a timeout if this one does not come.
        page.wait_for_selector("#search-results li a[href*='08_dpo_disclaimer_failure']")


def test_the_phones_page_runs_a_file_of_its_readers(browser, address, tmp_path):
    from exported import NANO

    from helpers.export import export

    file = export(NANO, tmp_path / "own.gguf", "Q5_K_M").path
    with tab(browser) as page:
        page.goto(f"{address}phone/index.html")
        page.wait_for_selector("body[data-ready=own]")
        page.set_input_files("#file", file)
        page.wait_for_selector("body[data-ready=online]", timeout=120_000)
        assert "own.gguf" in page.locator("#facts").text_content()
        assert "No se ha medido" in page.inner_text("#measured")
