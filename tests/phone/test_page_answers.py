"""The page asked: what is made of an answer, and that it is the answer of llama.cpp on the same file."""

import asyncio

import numpy as np
import pytest
from page import GREEN, NEUTRAL, QUESTION, action, ask, say, tab

from helpers.cases import Example, evaluation_prompts
from helpers.runtimes import LlamaCpp
from helpers.runtimes.browser import Browser
from helpers.triage import LEVELS, SCALE, messages, parse, render

LINE = 24  # tokens of an answer that hold its level line


def test_a_question_gets_the_level_that_llama_cpp_gives_in_colour_and_word(browser, site, answered):
    row, level = answered
    with tab(browser, site) as page:
        assert page.inner_text("#status") == "Listo. De momento funciona también sin conexión."
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
    replies = Browser(gguf).complete(rows, max_new_tokens=LINE)
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
    """Prompts on which the model is surest of its level. WebAssembly sums in another order, and a tie falls
    to either side.
    """
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
        "() => { globalThis.SAID = 'Nivel de Urgencia: AZUL — No urgente\\n'.repeat(3); globalThis.HOLD = "
        "40; }"
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
            "() => { document.getElementById('form').requestSubmit(); "
            "document.getElementById('cancel').click(); }"
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
