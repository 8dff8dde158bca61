"""What the tests of the phone's page share: a tab, a question, an answer that is made up."""

from contextlib import contextmanager

from helpers.cases import evaluation_prompts
from helpers.runtimes.browser import open_page
from helpers.triage import LEVELS, SCALE, countries

SMALL = {"width": 360, "height": 740}
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


def known():
    """One development prompt a level, all from one country: the small model is taught these by heart."""
    rows = [row for row in evaluation_prompts("dev") if row.country == "ES"]
    return [next(row for row in rows if row.level == level) for level in LEVELS]


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
    """What the page says to do: it does not know the syndrome, so it calls first wherever the level knows of
    calling first.
    """
    return (SCALE[level].call_first or SCALE[level].action).format(
        call=countries()[country].call, place=countries()[country].place
    )
