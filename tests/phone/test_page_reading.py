"""One parser: the page reads any text as `helpers.triage.parse` does; and the measured error stands above the
form.
"""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from page import tab

from helpers.files import read_json
from helpers.runtimes.browser import open_page
from helpers.triage import LEVELS, countries, parse, render

MEASURED = {
    "accuracy": {"value": 0.456, "low": 0.3811, "high": 0.5349, "n": 200},
    "missedUrgency": {"value": 0.5125, "low": 0.4048, "high": 0.619, "n": 80},
}


@pytest.mark.parametrize("measured", [None, MEASURED])
def test_the_measured_error_and_who_is_not_covered_stand_open_above_the_form(browser, site, folder, measured):
    config = json.dumps({**read_json(folder / "config.json"), "measured": measured})
    with tab(browser, site, stub=True) as page:
        page.route(
            "**/config.json", lambda route: route.fulfill(body=config, content_type="application/json")
        )
        open_page(page, site)
        limits, said = page.locator("#limits"), page.inner_text("#measured")
        if measured:
            for words in (
                "200 mensajes",
                "46\u00a0%",
                "entre el 38 y el 53\u00a0%",
                "80 personas graves",
                "51 de cada 100",
                "entre 40 y 62",
            ):
                assert words in said
        else:
            assert "No se ha medido" in said and "%" not in said
        assert (
            "No sirve para niños, embarazo ni salud mental: en esos casos llame o consulte a una persona."
            in limits.inner_text()
        )
        assert limits.is_visible() and limits.bounding_box()["y"] < page.locator("#form").bounding_box()["y"]
        assert (
            limits.locator("button, a, details").count() == 0 and page.locator("details #limits").count() == 0
        )
        assert "Si duda, llame." in page.inner_text("header")


PIECES = st.one_of(
    st.sampled_from([
        "ROJO", "rojo", "Rojó", "NARANJA", "amarillo", "VERDE", "verde", "AZUL", "azules", " — ", "Emergencia", "no urgente", "Muy urgente", ":", "\n",
        " ", "al ", "AL 911", "Nivel de Urgencia:", "nivel de urgencia", "NIVEL",
        "Triaje", "clasificación", "Urgencia: ", "<think>", "</think>", "</THINK>", "<thınk>",
        "<thinking>", "</thinking>", "</mm:think>", "[THINK]", "[/THINK]", "◁think▷", "◁/think▷", "<|end_of_thought|>", "< / think >", "&lt;think&gt;",
        "Emergencias: ", "emergencia", "112", "911", "1122", "٣١٢", ".", "*", "**", "_", "-", "flema", "ñ", "é", "e\u0301", "\u0345", "\u093e", "ß", "İ",
        "Σ", "ſ", "\u212a", "ﬁ", "Ｒojo", "🚑", "\u200d", "\u00a0", "\t", "\r", "\u2028", "0", "²", "Ⅳ", "一", "\ufeff",
    ]),
    st.text(st.characters(exclude_categories=("Cs", "Cn", "Co")), max_size=4),
)  # fmt: skip
TEXTS = st.lists(st.lists(PIECES, max_size=14).map("".join), min_size=60, max_size=60)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=TEXTS)
def test_the_page_reads_any_text_as_triage_does(stubbed, texts):
    _agree(stubbed, texts)


def test_the_page_reads_real_answers_and_their_damaged_forms_as_triage_does(stubbed):
    whole = [render(level, code) for level in LEVELS for code in countries()]
    cut = [text[:end] for text in whole[::4] for end in range(0, len(text), 4)]
    shouted = [
        change(text)
        for text in whole
        for change in (str.upper, str.lower, lambda text: text * 2, lambda text: f"<think>{text}")
    ]
    texts = whole + cut + shouted + whole[0].split("\n")
    assert len(texts) >= 1000
    _agree(stubbed, texts)


def _agree(page, texts):
    read = page.evaluate(
        """async (texts) => {
            const { makeReader } = await import('./reader.js');
            const config = await (globalThis.CONFIG ??= fetch('config.json').then((answer) => answer.json()));
            return texts.map(makeReader(config.reader, config.levels));
        }""",
        texts,
    )
    for text, ours in zip(texts, read, strict=True):
        theirs = parse(text)
        expected = {
            "level": theirs.level,
            "contradictory": theirs.contradictory,
            "nameAgrees": theirs.name_agrees,
            "numbers": list(theirs.numbers),
            "called": list(theirs.called),
        }
        assert ours == expected, text
