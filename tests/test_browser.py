"""The phone's page by hand, in headless Chromium: asked, read, cut off from its server, fed damaged models, held against llama.cpp and triage.

One browser, one server and one small model serve all tests. The model is trained here for a few seconds: it knows five answers by heart.
"""

import asyncio
import json
import os
import re
import shutil
import unicodedata
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tools import fine_tuned

from helpers import cases, train
from helpers.cases import Example, evaluation_prompts
from helpers.export import export
from helpers.files import DATA, ROOT, LabError, read_json
from helpers.runtimes import LlamaCpp, npm, phone
from helpers.runtimes.browser import Browser, chromium, find_chromium, open_page
from helpers.triage import LEVELS, SCALE, countries, messages, parse, render

AXE = npm.Package(
    "axe-core",
    "4.14.1",
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)
SHOTS = ROOT / "build" / "phone" / "screenshots"
SMALL = {"width": 360, "height": 740}
LINE = 24  # tokens of an answer that hold its level line
QUESTION = "Me torcí el tobillo ayer y puedo apoyar el pie."
RED = "Mi padre tiene dolor en el pecho y sudor frío desde hace 20 minutos."
GREEN = "Nivel de Urgencia: VERDE — Estándar"
NEUTRAL = "Llame al número de emergencias de su país."
# In place of the engine: says what the test wants, or fails as it wants.
STUB = """
export class Wllama {
  static getLibllamaVersion() { return "stub"; }
  setCompat() {}
  getNumThreads() { return 1; }
  async exit() {}
  async loadModel() { if (globalThis.LOADING) throw new Error(globalThis.LOADING); }
  async createChatCompletion({ messages, onData, abortSignal }) {
    globalThis.ASKED = messages;
    if (globalThis.FAILING) throw new Error(globalThis.FAILING);
    let said = 0;
    for (const piece of globalThis.SAID.match(/[^]{1,7}/gu)) {
      do {
        if (abortSignal.aborted) throw Object.assign(new Error("aborted"), { name: "AbortError" });
        await new Promise((resolve) => setTimeout(resolve));
      } while (said >= (globalThis.HOLD ?? Infinity));
      said += piece.length;
      onData({ choices: [{ delta: { content: piece } }] });
    }
    onData({ choices: [{ delta: {}, finish_reason: globalThis.REASON ?? "stop" }] });
  }
}
"""


@pytest.fixture(scope="module")
def browser():
    try:
        find_chromium()
    except LabError as reason:
        if os.environ.get("CI"):
            pytest.fail(f"CI must test the page in a browser. {reason}")
        pytest.skip(str(reason))
    with chromium("--host-resolver-rules=MAP lab.test 127.0.0.1") as started:
        yield started


def _known():
    """One development prompt a level, all from one country: the small model is taught these by heart."""
    rows = [row for row in evaluation_prompts("dev") if row.country == "ES"]
    return [next(row for row in rows if row.level == level) for level in LEVELS]


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    place = tmp_path_factory.mktemp("model")
    nano = train.profile_named("nano")
    quick = replace(nano, sft={**nano.sft, "batch": len(LEVELS), "learning_rate": 8e-3})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for so little, two wait for each other
    try:
        fine_tuned(cases.chat_rows(_known()), place / "tiny", quick, updates=100)
    finally:
        torch.set_num_threads(threads)
    return export(place / "tiny", place / "tiny.gguf", "Q5_K_M", threads=1).path


@pytest.fixture(scope="module")
def folder(gguf, tmp_path_factory, engine, shared_build):
    with shared_build():
        return phone.build(gguf, tmp_path_factory.mktemp("phone") / "site", name="pequeño")


@pytest.fixture(scope="module")
def site(folder):
    with phone.serving(folder) as address:
        yield address


@pytest.fixture(scope="module")
def answered(gguf):
    """A question and the level that llama.cpp gives to it."""
    row = _known()[1]
    with LlamaCpp(gguf) as model:
        reading = parse(model.complete([row])[0].text)
    assert reading.level and reading.name_agrees, "the small model did not learn its few answers"
    return row, reading.level


@contextmanager
def tab(browser, address, *, stub=False, ready=True, script="", **context):
    """A tab in a profile of its own, at the page; errors that nobody caught fail the test."""
    options = {"viewport": SMALL, "locale": "es-ES", **context}
    if stub:
        options["service_workers"] = "block"
    profile = browser.new_context(**options)
    profile.set_default_timeout(20_000)
    if script:
        profile.add_init_script(script)
    if stub:
        profile.route(
            "**/engine/wllama.js", lambda route: route.fulfill(body=STUB, content_type="text/javascript")
        )
    page, errors = profile.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        if ready:
            open_page(page, address)
        else:
            page.goto(address)
            page.wait_for_selector("body[data-ready]")
        yield page
        assert not errors
    finally:
        profile.close()


@pytest.fixture(scope="module")
def stubbed(browser, site):
    """A tab with the stub engine, for tests that only look at what is made of an answer."""
    with tab(browser, site, stub=True) as page:
        yield page


def ask(page, text=QUESTION):
    """Ask, from Spain where no country is chosen; the level shown."""
    if not page.input_value("#country"):
        page.select_option("#country", "ES")
    page.fill("#question", text)
    page.click("#ask")
    page.wait_for_selector("#level:not([hidden])")
    return page.get_attribute("#level", "data-level")


def say(page, text, country="ES", reason="stop", question=QUESTION):
    """Ask the stub, which answers this text; the level shown."""
    page.evaluate(
        "([said, reason]) => { globalThis.SAID = said; globalThis.REASON = reason; }", [text, reason]
    )
    page.select_option("#country", country)
    return ask(page, question)


def action(level, country="ES"):
    """What the page says to do: it does not know the syndrome, so it calls first wherever the level knows of calling first."""
    return (SCALE[level].call_first or SCALE[level].action).format(
        call=countries()[country].call, place=countries()[country].place
    )


# ------------------------------------------------------------------------------------------------------- asked and answered
def test_a_question_gets_the_level_that_llama_cpp_gives_in_colour_and_word(browser, site, answered):
    row, level = answered
    with tab(browser, site) as page:
        assert page.inner_text("#status") == "Listo. Funciona también sin conexión."
        page.evaluate("""() => { globalThis.GROWTH = []; new MutationObserver(() => GROWTH.push(document.getElementById('text').textContent.length))
                                 .observe(document.getElementById('text'), { childList: true }); }""")
        assert ask(page, row.text) == level
        shown = page.inner_text("#level")
        assert (
            level in shown
            and SCALE[level].name in shown
            and action(level) in shown
            and SCALE[level].means in shown
        )
        band = page.eval_on_selector("#level .word", "band => getComputedStyle(band).backgroundColor")
        assert band == f"rgb({', '.join(str(int(SCALE[level].color[at : at + 2], 16)) for at in (1, 3, 5))})"
        growth = page.evaluate("() => GROWTH")
        assert len(growth) > 20 and growth == sorted(growth), "the answer did not come piece by piece"
        assert page.evaluate("() => document.activeElement.id") == "level"


def test_the_self_test_is_what_llama_cpp_says_of_the_same_file_even_beside_a_running_event_loop(
    gguf, browser, npm_archives
):
    with LlamaCpp(gguf) as model:
        rows = _firmest(model, evaluation_prompts("dev")[::5], 24)
        rows.append(Example('¿"{country}" <|im_start|> o ñandú 🚑?', "AZUL", ("AZUL",), "GT"))
        expected, logits = model.complete(rows, max_new_tokens=LINE), model.label_logits(rows)
    assert asyncio.get_running_loop(), "playwright runs one in this thread, as a notebook does"
    runtime = Browser(gguf)
    replies = runtime.complete(rows, max_new_tokens=LINE)
    assert runtime.version.startswith(f"wllama {npm.WLLAMA.version} ")
    assert [reply.prompt for reply in replies] == [reply.prompt for reply in expected]
    assert [reply.tokens for reply in replies] == [reply.tokens for reply in expected]
    assert len({parse(reply.text).level for reply in expected}) > 1
    assert [parse(reply.text).level for reply in replies] == [parse(reply.text).level for reply in expected]
    assert [reply.finish_reason for reply in replies] == [reply.finish_reason for reply in expected]
    assert sum(a.text == b.text for a, b in zip(replies, expected, strict=True)) >= 20
    logprobs = (
        logits
        - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        - logits.max(1, keepdims=True)
    )
    for reply, row in zip(replies, logprobs, strict=True):
        assert len(reply.logprobs) == 10 and abs(max(reply.logprobs.values()) - row.max()) < 0.1
        assert sum(np.exp(value) for value in reply.logprobs.values()) <= 1 + 1e-4


def _firmest(model, rows, count):
    """Prompts on which the model is surest of its level. WebAssembly sums in another order, and a tie falls to either side."""
    margins = [first - second for second, first in np.sort(model.label_logits(rows), axis=1)[:, -2:]]
    return [rows[index] for index in np.argsort(margins)[::-1][:count]]


def test_the_prompt_is_the_one_that_training_used(stubbed):
    for text in (
        "me arde al orinar",
        "llaves {country} y {text}",
        "  dos  espacios\ny otra línea  ",
        "$& $1 <b>",
    ):
        stubbed.evaluate("() => { globalThis.SAID = 'Nivel de Urgencia: AZUL'; }")
        stubbed.select_option("#country", "MX")
        ask(stubbed, text)
        assert stubbed.evaluate("() => ASKED") == messages(text.strip(), "MX")


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_is_shown_with_its_name_and_what_to_do(stubbed, level):
    assert say(stubbed, render(level, "ES")) == level
    shown = stubbed.inner_text("#level")
    assert (
        level in shown
        and SCALE[level].name in shown
        and action(level) in shown
        and "Si duda o empeora, llame al 112" in shown
    )
    assert "{" not in shown and stubbed.is_hidden("#redflag") and stubbed.is_hidden("#level .despite")
    assert stubbed.is_hidden("#warning")


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ("No lo sé.", ""),
        ("El paciente tiene la flema verde.", ""),
        ("Nivel de Urgencia: ROJO\nNivel de Urgencia: AZUL", "se contradice"),
        ("Nivel de Urgencia: VERDE — Emergencia", "se contradice"),
        ("<think>Nivel de Urgencia: AZUL</think>Beba agua.", ""),
        ("<thinking>Nivel de Urgencia: AZUL</thinking>Beba agua.", ""),
        ("Nivel de Urgencia: AZUL</mm:think>Beba agua.", ""),
    ],
)
def test_an_answer_without_one_clear_level_shows_none_and_says_to_call(stubbed, said, because):
    assert say(stubbed, said) is None
    shown = stubbed.inner_text("#level")
    assert "No he podido dar un nivel" in shown and because in shown and "Llame" in shown and "112" in shown
    assert not any(level in shown for level in LEVELS)


def test_a_level_is_not_shown_before_the_answer_is_whole(stubbed):
    said = "Nivel de Urgencia: AZUL — No urgente\nNivel de Urgencia: ROJO"
    stubbed.evaluate("said => { globalThis.SAID = said; globalThis.HOLD = 40; }", said)
    stubbed.select_option("#country", "ES")
    stubbed.fill("#question", QUESTION)
    stubbed.click("#ask")
    stubbed.wait_for_selector("#text >> text=No urgente")
    assert stubbed.is_hidden("#level")
    stubbed.evaluate("() => { globalThis.HOLD = Infinity; }")
    stubbed.wait_for_selector("#level:not([hidden])")
    assert stubbed.get_attribute("#level", "data-level") is None


def test_a_number_of_another_country_and_a_cut_answer_are_pointed_out(stubbed):
    say(stubbed, render("ROJO", "AR"), country="GT", reason="length")
    warning = stubbed.inner_text("#warning")
    assert "107" in warning and "122 o el 123" in warning and "cortado" in warning


@pytest.mark.parametrize("said", ["Qué hacer: llame al 911.", "Emergencias: 911."])
@pytest.mark.parametrize(("code", "instead"), [("ES", "112"), ("XX", NEUTRAL)])
def test_a_foreign_number_anywhere_in_the_answer_is_pointed_out(stubbed, said, code, instead):
    say(stubbed, f"{GREEN}\n{said}", country=code)
    assert "911" in stubbed.inner_text("#warning") and instead in stubbed.inner_text("#warning")


@pytest.mark.parametrize("number", ["112", "024"])
def test_a_number_of_the_own_country_is_not_pointed_out(stubbed, number):
    say(stubbed, f"{GREEN}\nQué hacer: llame al {number}.")
    assert stubbed.is_hidden("#warning")


def test_an_empty_question_is_asked_for_and_nothing_is_sent(stubbed):
    stubbed.evaluate("() => { globalThis.ASKED = null; }")
    for text in ("", "   \n "):
        stubbed.fill("#question", text)
        stubbed.click("#ask")
        assert stubbed.inner_text("#problem") == "Escriba primero qué ocurre." and stubbed.is_hidden(
            "#answer"
        )
    assert stubbed.evaluate("() => ASKED") is None


def test_cancelling_leaves_no_level(stubbed):
    stubbed.evaluate(
        "() => { globalThis.SAID = 'Nivel de Urgencia: AZUL — No urgente\\n'.repeat(3); globalThis.HOLD = 40; }"
    )
    stubbed.select_option("#country", "ES")
    stubbed.fill("#question", QUESTION)
    stubbed.click("#ask")
    stubbed.wait_for_selector("#text >> text=No urgente")
    stubbed.click("#cancel")
    stubbed.wait_for_selector("#cancel", state="hidden")
    stubbed.evaluate("() => { globalThis.HOLD = Infinity; }")
    assert stubbed.is_hidden("#answer") and "no se ha dado ningún nivel" in stubbed.inner_text("#status")


def test_a_real_answer_can_be_cancelled_and_the_next_one_comes(browser, site):
    with tab(browser, site) as page:
        page.select_option("#country", "ES")
        page.fill("#question", QUESTION)
        page.evaluate(
            "() => { document.getElementById('form').requestSubmit(); document.getElementById('cancel').click(); }"
        )
        page.wait_for_selector("#ask:not([disabled])")
        assert "cancelada" in page.inner_text("#status") and page.is_hidden("#level")
        ask(page)
        assert page.inner_text("#text").startswith("Nivel de Urgencia")


@pytest.mark.parametrize(
    ("error", "said"),
    [("the request exceeds the available context size", "demasiado largo"), ("boom", "ha fallado")],
)
def test_a_failing_engine_gives_a_message_and_no_level(stubbed, error, said):
    stubbed.evaluate("error => { globalThis.FAILING = error; }", error)
    stubbed.select_option("#country", "ES")
    stubbed.fill("#question", QUESTION)
    stubbed.click("#ask")
    stubbed.wait_for_selector("#problem:not([hidden])")
    stubbed.evaluate("() => { globalThis.FAILING = ''; }")
    assert (
        said in stubbed.inner_text("#problem")
        and "llame" in stubbed.inner_text("#problem")
        and stubbed.is_hidden("#level")
    )
    assert say(stubbed, "Nivel de Urgencia: ROJO") == "ROJO"  # the next question is answered


# ------------------------------------------------------------------------------------------------------- whom to call
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


# ------------------------------------------------------------------------------------------------------- words not to wait with
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
)  # fmt: skip


def flags(page, texts):
    """What `redFlags` finds in each text: its words by kind."""
    found = page.evaluate(
        "async (texts) => { const { redFlags } = await import('./redflags.js'); return texts.map(redFlags); }",
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
    """The list was written with train, dev and test wordings in sight, so none of these shares is independent; the test split's is only printed."""
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
            f"{splits}: card shown to {seen:.0%} of {len(ill)} who must call, to {needless:.0%} of {len(well)} with an old complaint or errand"
        )
        assert seen >= least and needless <= 0.4


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
        "() => { document.getElementById('form').requestSubmit(); globalThis.ATONCE = !document.getElementById('redflag').hidden; }"
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


# ------------------------------------------------------------------------------------------------------- what it cannot do
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


# ------------------------------------------------------------------------------------------------------- reading
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
    cut = [text[:end] for text in whole[::7] for end in range(0, len(text), 5)]
    shouted = [
        change(text)
        for text in whole
        for change in (str.upper, str.lower, lambda text: text * 2, lambda text: f"<think>{text}")
    ]
    _agree(stubbed, whole + cut + shouted + whole[0].split("\n"))


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


# ------------------------------------------------------------------------------------------------------- without a server
def test_after_the_first_visit_the_page_answers_with_its_server_stopped(browser, folder, answered):
    row, level = answered
    with phone.serving(folder) as address:
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
    with phone.serving(folder) as address:
        stack = tab(browser, address)
        page = stack.__enter__()
    try:
        other = phone.build(
            export(DATA / "nano-base", tmp_path / "new.gguf", "Q2_K", threads=1).path,
            tmp_path / "site",
            name="nuevo",
        )
        with phone.serving(other, port=int(address.rstrip("/").rpartition(":")[2])):
            page.reload()
            page.wait_for_selector("body[data-ready=offline]")
            assert "pequeño" in page.text_content("#facts"), "half of a new build was used"
            page.wait_for_selector("#offline >> text=Hay una versión nueva", state="attached")
            page.evaluate(
                "async () => { const r = await navigator.serviceWorker.ready; while (!r.waiting) await new Promise((go) => setTimeout(go, 50)); }"
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


# ------------------------------------------------------------------------------------------------------- damaged or lacking
def _spoiled(folder, place, change):
    """A copy of the page whose model was changed after it was built."""
    shutil.copytree(folder, place, copy_function=os.link)
    model = place / "model.gguf"
    raw = bytearray(model.read_bytes())
    model.unlink()
    if (changed := change(raw)) is not None:
        model.write_bytes(changed)
    return place


def _flip(raw):
    raw[len(raw) // 2] ^= 1
    return raw


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("corrupt", _flip, "dañado"),
        ("truncated", lambda raw: raw[:-100_000], "incompleto"),
        ("corrupt", lambda raw: raw + b"x", "dañado"),
        ("missing", lambda raw: None, "No se ha podido descargar"),
    ],
    ids=["flipped", "cut", "longer", "missing"],
)
def test_a_damaged_model_is_told_and_never_run_and_can_be_fetched_again(
    browser, folder, tmp_path, kind, change, said
):
    spoiled = _spoiled(folder, tmp_path / "site", change)
    shutil.copyfile(folder / "model.gguf", tmp_path / "whole.gguf")
    if kind == "missing":
        (spoiled / "model.gguf").touch()  # the server knows the name
    with phone.serving(spoiled) as address:
        if kind == "missing":
            (spoiled / "model.gguf").unlink()
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
            (spoiled / "model.gguf").unlink(missing_ok=True)
            shutil.copyfile(tmp_path / "whole.gguf", spoiled / "model.gguf")
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
    with tab(browser, f"{site}?threads=4", stub=True, script=fails) as page:
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
            "async () => (await (await caches.open((await caches.keys())[0])).keys()).map((row) => new URL(row.url).pathname)"
        )
        assert "/engine/compat.wasm" in kept and "/engine/wllama.wasm" not in kept


# ------------------------------------------------------------------------------------------------------- for everybody
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_accessibility_violation_before_and_after_an_answer(browser, site, shared_build, scheme):
    try:
        with shared_build():
            axe = npm.files(AXE, ("axe.min.js",))["axe.min.js"].decode()
    except LabError as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))
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
