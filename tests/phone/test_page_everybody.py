"""The page for everybody: screen readers, narrow screens, the keyboard alone, a home screen."""

from pathlib import Path

import pytest
from page import GREEN, QUESTION, RED, say, tab

from helpers.files import ROOT
from helpers.triage import LEVELS, countries, render

SHOTS = ROOT / "build" / "phone" / "screenshots"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_accessibility_violation_before_and_after_an_answer(browser, site, axe, scheme):
    with tab(browser, site, stub=True, color_scheme=scheme, bypass_csp=True) as page:
        page.evaluate(axe)
        _no_violation(page)
        page.locator("summary").click()
        for said in ("Nivel de Urgencia: ROJO — Emergencia", "Nivel de Urgencia: AMARILLO", "No sé."):
            say(page, f"{said}\nEmergencias: 911.", country="GT", question=RED)
            _no_violation(page)
        say(page, GREEN, country="ES", question="me quiero morir")
        _no_violation(page)
        say(page, GREEN, country="XX", question=RED)
        _no_violation(page)
        page.fill("#question", "")
        page.click("#ask")
        _no_violation(page)


def _no_violation(page):
    found = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")
    assert [(row["id"], [node["html"] for node in row["nodes"]]) for row in found["violations"]] == []


@pytest.mark.parametrize("width", [360, 320])
def test_a_narrow_screen_shows_everything_without_sideways_scrolling(browser, site, width):
    SHOTS.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        with tab(
            browser,
            site,
            stub=True,
            viewport={"width": width, "height": 740},
            color_scheme=scheme,
            device_scale_factor=2,
        ) as page:
            for code in countries():
                page.select_option("#country", code)
                _fits(page)
            page.select_option("#country", "GT")
            page.screenshot(path=SHOTS / f"{width}-{scheme}-question.png")
            say(page, render("NARANJA", "GT") + "x" * 200, country="GT")
            page.screenshot(path=SHOTS / f"{width}-{scheme}-answer.png")
            _fits(page)
            say(page, GREEN, country="ES", question="me quiero morir " + "x" * 200)
            _fits(page)
            say(page, GREEN, country="GT", question=f"{RED} No responde.")
            page.screenshot(path=SHOTS / f"{width}-{scheme}-red-flag.png")
            _fits(page)
            for always in ("header a[href='tel:122']", "header a[href='tel:123']", ".doubt", "footer strong"):
                box = page.locator(always).bounding_box()
                assert box and box["x"] >= 0 and box["x"] + box["width"] <= width and 0 <= box["y"] <= 740, (
                    always
                )


def _fits(page):
    assert page.locator("header").bounding_box()["height"] < 180, "the header leaves too little of the screen"
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    for button in page.locator("button:visible, a.call:visible").all():
        box = button.bounding_box()
        assert box["height"] >= 44, "too small for a thumb"


def test_the_keyboard_alone_is_enough(browser, site):
    with tab(browser, site, stub=True) as page:
        page.evaluate("() => { globalThis.SAID = 'Nivel de Urgencia: ROJO — Emergencia'; }")
        order = []
        for _ in range(3):
            page.keyboard.press("Tab")
            order.append(
                page.evaluate(
                    "() => document.activeElement.id || document.activeElement.getAttribute('href')"
                )
            )
        assert order == ["country", "question", "ask"]
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Shift+Tab")
        page.keyboard.type("Esp")
        page.keyboard.press("Shift+Tab")
        assert page.evaluate("() => document.activeElement.getAttribute('href')") == "tel:112"
        for _ in range(3):
            page.keyboard.press("Tab")
        page.keyboard.press("Shift+Tab")
        page.keyboard.type(QUESTION)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#level[data-level=ROJO]")
        assert page.evaluate("() => document.activeElement.id") == "level"
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement.getAttribute('href')") == "tel:112"


def test_it_can_stand_on_a_home_screen(browser, site):
    with tab(browser, site) as page:
        manifest = page.context.new_cdp_session(page).send("Page.getAppManifest")
        assert manifest["url"].endswith("manifest.webmanifest") and not manifest["errors"]
        assert '"standalone"' in manifest["data"] and Path(manifest["url"]).suffix == ".webmanifest"


def test_the_ink_on_every_level_can_be_read(browser, site):
    def luminance(color):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    with tab(browser, site, stub=True) as page:
        for level in LEVELS:
            say(page, f"Nivel de Urgencia: {level}")
            look = page.eval_on_selector(
                "#level .word",
                "band => { const { backgroundColor, color } = getComputedStyle(band); return "
                "[backgroundColor, color]; }",
            )
            pair = [[int(c) / 255 for c in one.removeprefix("rgb(").rstrip(")").split(", ")] for one in look]
            light, dark = sorted(map(luminance, pair), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, level
