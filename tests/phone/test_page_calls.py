"""Whom the page says to call: the country, and the words with which nobody should wait."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from page import GREEN, NEUTRAL, QUESTION, RED, SMALL, action, say, tab

from helpers import cases
from helpers.runtimes import phone
from helpers.statistics import wilson
from helpers.triage import LEVELS, countries, messages, render


@pytest.mark.parametrize("code", list(countries()))
def test_the_country_decides_whom_the_call_link_calls(stubbed, code):
    stubbed.select_option("#country", code)
    links = stubbed.eval_on_selector_all(
        "header a", "links => links.map(link => [link.getAttribute('href'), link.innerText.split('\\n')])"
    )
    assert links == [
        [f"tel:{number}", [f"Llamar al {number}", service]] for number, service in countries()[code].services
    ]
    assert (NEUTRAL in stubbed.inner_text("#calls")) is not links
    assert stubbed.is_hidden("#answer"), "an answer with another country's number stayed"


@pytest.mark.parametrize("locale", ["es-ES", "es-GT", "es", "en-US"])
def test_the_country_is_never_guessed_nor_remembered_unless_chosen(browser, site, locale):
    with tab(browser, site, stub=True, locale=locale) as page:
        assert page.input_value("#country") == "" and page.inner_text("#calls") == NEUTRAL
        assert page.inner_text("label[for=country]") == "¿En qué país está?"
        page.fill("#question", QUESTION)
        page.click("#ask")
        assert (
            page.inner_text("#problem") == "Elija primero su país."
            and page.evaluate("() => document.activeElement.id") == "country"
        )
        assert page.evaluate("() => localStorage.length") == 0
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert page.input_value("#country") == ""


def test_a_chosen_country_is_remembered(browser, site):
    with tab(browser, site, stub=True) as page:
        page.fill("#question", QUESTION)
        page.click("#ask")
        page.select_option("#country", "CL")
        assert page.is_hidden("#problem")
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert page.input_value("#country") == "CL" and page.inner_text("#calls").startswith("Llamar al 131")


def test_a_country_that_an_earlier_page_guessed_or_that_is_gone_is_not_taken(browser, site):
    for name, code in (("country", "CL"), ("chosen-country", "ZZ")):
        with tab(browser, site, stub=True, script=f"localStorage.setItem({name!r}, {code!r});") as page:
            assert page.input_value("#country") == ""


def test_otro_pais_has_no_button_and_its_answers_work(stubbed):
    assert say(stubbed, render("NARANJA", "XX"), country="XX", question=RED) == "NARANJA"
    assert stubbed.evaluate("() => ASKED") == messages(RED, "XX")
    assert "Otro país" in stubbed.inner_text("#country")
    for place in ("#calls", "#redflag"):
        assert NEUTRAL in stubbed.inner_text(place) and stubbed.locator(f"{place} a").count() == 0
    shown = stubbed.inner_text("#level")
    assert (
        action("NARANJA", "XX") in shown
        and "Si duda o empeora, llame al número de emergencias de su país." in shown
    )
    assert stubbed.is_hidden("#warning")


FLAGGED = {
    "corazon": ("Tengo el pecho apretado y sudo frío", "a mi mamá le duele mucho el pecho", "siento una presión en el pecho q se va al brazo"),
    "respiracion": ("no puedo respirar bien", "Mi abuela dice que le falta el aire", "tiene los labios medio morados"),
    "ictus": ("se le fue la boca de lado", "mi esposo no siente medio cuerpo", "a mi papá se le traba la lengua y habla raro"),
    "suicidio": ("me quiero morir", "Ya no quiero vivir así", "anoche pensó en quitarse la vida"),
    "sangrado": ("la herida no para de sangrar", "le sale sangre a chorros", "Mi tío vomita sangre desde hace rato"),
    "conciencia": ("mi hermano no despierta", "se desmayó en la cocina y no responde", "está convulsionando"),
    "alergia": ("se le hinchó la lengua", "comió camarones y se le cierra la garganta", "tengo ronchas y estoy mareada desde la picadura"),
    "embarazo": ("estoy embarazada y empecé a sangrar", "mi mujer, embarazada de 8 meses, ve luces y le duele la cabeza", "rompí la fuente"),
    "veneno": ("se tragó un frasco de jarabe", "mi hija se tomó muchas pastillas", "Bebió cloro por error"),
    "herida": ("le dieron un balazo en la pierna", "lo atropelló una moto", "se cayó del techo"),
}  # fmt: skip
TYPED = (
    "pecho apretado", "me aprieta el pecho", "presion en el pecho", "dolor de pecho", "no puedo respirar", "me ahogo", "falta el aire", "labios morados",
    "boca chueca", "tiene la boca torcida", "boca de lado", "no siente un lado", "no mueve el brazo", "se le traba la lengua", "habla raro", "me quiero morir",
    "quitarme la vida", "no quiero vivir", "sangra mucho", "no para de sangrar", "a chorros", "vomita sangre", "no despierta", "no responde", "no reacciona",
    "esta inconciente", "se desmayo", "se desmallo", "combulsiona", "le dio un ataque", "se trago las pastillas", "se tomo unas pastillas",
    "ME  DUELE\nEL PECHO", "opresio\u0301n en el pecho", "PRESIÓN… en el pecho",
    "siento como un elefante encima del pecho", "se me cierra el pecho", "mi papa se agarro el pecho y se cayo", "el corazon me va a mil",
    "me duele la tetilla izquierda y estoy sudando", "a mi abuelo le falta la respiracion", "mi bebe se puso moradito", "no puede alzar un brazo",
    "le cuelga el brazo", "dice puras incoherencias desde hace una hora", "ya no quiero estar viva", "estoy cansada de vivir",
    "tengo la pistola en la mano", "ya compre la soga", "se quiere aventar del puente", "me voy a tirar al metro", "sangre por la nariz y no para",
    "la sangre sale sin control", "le salta la sangre del brazo", "estoy botando coágulos grandes", "estoy sangrando por abajo y tengo 8 meses",
)  # fmt: skip


def flags(page, texts):
    """What `redFlags` finds in each text: its words by kind."""
    found = page.evaluate(
        "async (texts) => { const { redFlags } = await import('./redflags.js'); return texts.map(redFlags); "
        "}",
        list(texts),
    )
    return [{flag["kind"]: flag["words"] for flag in row} for row in found]


def test_every_kind_of_red_flag_has_its_sentences_here(stubbed):
    source = (phone.PAGE / "redflags.js").read_text(encoding="utf-8")
    assert re.findall(r"^  (\w+): \[$", source, re.MULTILINE) == list(FLAGGED) and all(
        len(texts) == 3 for texts in FLAGGED.values()
    )
    for kind, texts in FLAGGED.items():
        for text, found in zip(texts, flags(stubbed, texts), strict=True):
            assert kind in found and found[kind] in text, (text, found)


MUST_CALL = [
    *(
        "sindrome_coronario",
        "paro_cardiorrespiratorio",
        "atragantamiento",
        "respiracion_insuficiente",
        "crisis_respiratoria",
        "ictus",
    ),
    *("suicidio_con_plan", "ideas_de_muerte", "hemorragia_incontenible", "hemorragia_digestiva"),
]


def test_nearly_everybody_whose_heart_breath_brain_or_blood_fails_sees_the_card_and_few_with_an_errand_do(
    stubbed,
):
    """The list was written with train, dev and test wordings in sight, so none of these shares is
    independent; the test split's is only printed.
    """
    for splits, least in ((("train", "dev"), 0.9), (("test",), 0.0)):
        told = [
            (finding, text)
            for finding in cases.findings().values()
            for split in splits
            for text in finding.texts(split)
        ]
        ill = [text for finding, text in told if finding.syndrome.key in MUST_CALL]
        well = [text for finding, text in told if finding.level == "AZUL"]
        seen, needless = (sum(map(bool, flags(stubbed, texts))) / len(texts) for texts in (ill, well))
        print(
            f"{splits}: card shown to {seen:.0%} of {len(ill)} who must call, to {needless:.0%} of "
            f"{len(well)} with an old complaint or errand"
        )
        assert seen >= least and needless <= 0.4


def test_sentences_that_the_list_was_not_written_from_show_the_card_nearly_always_and_everyday_ones_seldom(
    stubbed,
):
    """Written by a language model that saw neither list nor patients: of `dev` the missed ones were read and
    mended, `test` was asked afterwards and nothing was mended by it. Keep it so.
    """
    path = Path(__file__).with_name("danger.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for split, least, most in (("dev", 0.95, 0.05), ("test", 0.85, 0.1)):
        mine = [row for row in rows if row["split"] == split]
        shown = [bool(found) for found in flags(stubbed, [row["text"] for row in mine])]
        grave = [one for one, row in zip(shown, mine, strict=True) if row["kind"] != "ninguno"]
        calm = [one for one, row in zip(shown, mine, strict=True) if row["kind"] == "ninguno"]
        seen, needless = wilson(sum(grave), len(grave)), wilson(sum(calm), len(calm))
        print(f"{split}: card shown to {seen} of emergencies, to {needless} of everyday questions")
        assert seen.value >= least and needless.value <= most


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in FLAGGED.items() for text in texts]
)
def test_a_red_flag_shows_whom_to_call_before_any_answer_and_over_a_green_one(stubbed, kind, text):
    stubbed.evaluate(
        "said => { globalThis.SAID = said; globalThis.HOLD = 0; globalThis.REASON = 'stop'; }", f"{GREEN}\n"
    )
    stubbed.select_option("#country", "ES")
    stubbed.fill("#question", text)
    stubbed.evaluate(
        "() => { document.getElementById('form').requestSubmit(); globalThis.ATONCE = "
        "!document.getElementById('redflag').hidden; }"
    )
    assert stubbed.evaluate("() => ATONCE"), "the card waited for something"
    stubbed.wait_for_selector("#ask[disabled]")
    assert stubbed.is_visible("#redflag") and stubbed.is_hidden("#level")
    stubbed.evaluate("() => { globalThis.HOLD = Infinity; }")
    stubbed.wait_for_selector("#level[data-level=VERDE]")
    card, said = stubbed.locator("#redflag"), stubbed.inner_text("#redflag")
    assert (
        card.get_attribute("role") == "alert"
        and card.bounding_box()["y"] < stubbed.locator("#answer").bounding_box()["y"]
    )
    assert "Esto puede ser grave: llame ahora" in said and "No espere la respuesta de esta página." in said
    assert (
        f"«{flags(stubbed, [text])[0][kind]}»" in said
        and "emergencias" in card.locator("a[href='tel:112']").inner_text()
    )
    assert (card.locator("a").count() == 2) is (kind == "suicidio") is ("No está solo" in said)
    assert "Aunque el modelo diga VERDE, por lo que ha escrito: llame." in stubbed.inner_text("#level")
    heading = card.locator("h2").bounding_box()
    header = stubbed.locator("header").bounding_box()
    assert header["y"] + header["height"] <= heading["y"] < SMALL["height"] / 2, (
        "the answer pushed the card out of sight"
    )


def test_the_crisis_line_is_the_second_link_for_suicide_words(stubbed):
    say(stubbed, GREEN, question="me quiero morir")
    links = stubbed.eval_on_selector_all(
        "#redflag a", "links => links.map(link => link.getAttribute('href'))"
    )
    assert links == ["tel:112", f"tel:{countries()['ES'].crisis_line}"]
    say(stubbed, GREEN, country="MX", question="me quiero morir")
    assert stubbed.locator("#redflag a").count() == 1


@pytest.mark.parametrize("level", LEVELS)
def test_over_a_red_flag_every_level_says_to_call(stubbed, level):
    say(stubbed, render(level, "MX"), country="MX", question=RED)
    said = stubbed.inner_text("#level")
    assert (
        f"Aunque el modelo diga {level}, por lo que ha escrito: llame." in said
        or "Llame ahora al 911" in said
    )


def test_without_a_country_a_red_flag_comes_first_and_the_number_as_soon_as_one_is_chosen(browser, site):
    with tab(browser, site, stub=True) as page:
        page.fill("#question", RED)
        page.click("#ask")
        assert NEUTRAL in page.inner_text("#redflag") and "Elija arriba su país" in page.inner_text(
            "#redflag"
        )
        assert (
            page.inner_text("#problem") == "Elija primero su país."
            and page.evaluate("() => document.activeElement.id") == "country"
        )
        page.select_option("#country", "GT")
        links = page.eval_on_selector_all(
            "#redflag a", "links => links.map(link => link.innerText.replace('\\n', ': '))"
        )
        assert links == [f"Llamar al {number}: {service}" for number, service in countries()["GT"].services]
        assert say(page, GREEN, country="GT") == "VERDE" and page.is_hidden("#redflag"), (
            "the card stayed for another question"
        )


def test_a_red_flag_stays_when_the_model_fails_or_is_stopped(stubbed):
    stubbed.evaluate("() => { globalThis.FAILING = 'boom'; }")
    stubbed.select_option("#country", "ES")
    stubbed.fill("#question", RED)
    stubbed.click("#ask")
    stubbed.wait_for_selector("#problem:not([hidden])")
    stubbed.evaluate("() => { globalThis.FAILING = ''; }")
    assert stubbed.is_visible("#redflag a[href='tel:112']")


def test_red_flags_are_found_as_they_are_typed_on_a_telephone(stubbed):
    assert [text for text, found in zip(TYPED, flags(stubbed, TYPED), strict=True) if not found] == []
    plain = (
        QUESTION,
        "me arde al orinar",
        "necesito renovar mi receta de la presión",
        "Me tomé una pastilla para el dolor de muelas",
        "",
    )
    assert [found for found in flags(stubbed, plain) if found] == []


BEFORE = (
    "",
    "no ",
    "No es verdad que ",
    "nunca tuvo esto: ",
    "ya no, antes ",
    "sin que sea así: ",
    "¿y si... ",
    "¡¡",
    "\n\n",
)
AFTER = ("", " no", ", pero ya pasó", " hace años", "?", "!!! 🚑", "\nno es nada")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    flag=st.sampled_from([*TYPED, *(text for texts in FLAGGED.values() for text in texts)]),
    before=st.sampled_from(BEFORE),
    after=st.sampled_from(AFTER),
    change=st.sampled_from([str, str.upper, str.lower, lambda text: text.replace(" ", "  ")]),
)
def test_a_negation_does_not_switch_a_red_flag_off(stubbed, flag, before, after, change):
    assert flags(stubbed, [change(before + flag + after)])[0]


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(st.text(max_size=500), max_size=20))
def test_any_text_can_be_looked_through_for_red_flags(stubbed, texts):
    for text, found in zip(texts, flags(stubbed, texts), strict=True):
        assert all(words in unicodedata.normalize("NFC", text) for words in found.values())
