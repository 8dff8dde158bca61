"""The documents the nano base reads, and the proof of what they do not say.

The base may know Spanish, the chat form, colour words in other contexts, an answer's sentences in any order with colour and
content drawn apart, paraphrases that link all wordings of a finding, and the plain-language severity of *training* wordings. It
must not know a level for any finding, nor a severity for a dev or test wording: `leaks` searches the finished text for both.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from helpers import audit
from helpers.cases import SPLITS, Finding, Presentation, presentations, put_in_frame
from helpers.cases.writers import frames
from helpers.files import DATA, read_yaml
from helpers.triage import LEVELS, RUBRIC, SCALE, countries, join_or

KINDS = {"severity": 28, "paraphrase": 20, "term": 26, "alarms": 6, "repeat": 2, "color": 5, "boilerplate": 8, "general": 5}


@dataclass(frozen=True)
class Document:
    """One text of the corpus: a list of chat messages, or plain prose in a single message with role `text`."""

    kind: str
    messages: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """All its words, for the audit."""
        return "\n".join(content for _, content in self.messages)


def prose(kind: str, text: str) -> Document:
    """A plain text."""
    return Document(kind, (("text", text),))


def chat(kind: str, system: str, user: str, assistant: str) -> Document:
    """A chat of three turns."""
    return Document(kind, (("system", system), ("user", user), ("assistant", assistant)))


def sentence(text: str) -> str:
    """Capital first letter, one final stop."""
    return text[0].upper() + text[1:] + "."


class Writer:
    """Draws documents from the micro-world and `data/pretraining.yaml`."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.notes: dict[str, Any] = read_yaml(DATA / "pretraining.yaml")
        self.world = [(finding, presentation) for presentation in presentations() for finding in presentation.findings]

    def document(self) -> Document:
        """One document of a random kind."""
        kind = self.rng.choices(list(KINDS), list(KINDS.values()))[0]
        return getattr(self, f"_{kind}")()

    def _pick(self) -> tuple[Finding, Presentation, str]:
        """A finding and any of its texts, dev and test wordings included."""
        finding, presentation = self.rng.choice(self.world)
        return finding, presentation, self.rng.choice([text for split in SPLITS for text in finding.texts(split)])

    def _framed(self, presentation: Presentation, text: str) -> str:
        return put_in_frame(self.rng.choice(frames(presentation.patient, "train")), text, self.rng)

    def _task(self, kind: str) -> str:
        return self.rng.choice(self.notes["tasks"][kind])

    def _severity(self) -> Document:
        finding, presentation = self.rng.choice(self.world)
        text = self.rng.choice(finding.texts("train"))
        severity = self.rng.choice(self.notes["severity"][finding.level])
        form = self.rng.random()
        if form < 0.25:
            return prose("severity", f"{sentence(text)} Este cuadro {severity}.")
        if form < 0.45:
            return prose("severity", f"{self._framed(presentation, text)} Este cuadro {severity}.")
        return chat("severity", self._task("severity"), self._framed(presentation, text), f"Este cuadro {severity}.")

    def _paraphrase(self) -> Document:
        finding, presentation, text = self._pick()
        other = self.rng.choice([wording for split in SPLITS for wording in finding.texts(split) if wording != text])
        if self.rng.random() < 0.3:
            return prose("paraphrase", sentence(f"{text}, es decir, {other}"))
        return chat("paraphrase", self._task("paraphrase"), self._framed(presentation, text), sentence(other))

    def _term(self) -> Document:
        finding, presentation, text = self._pick()
        return chat("term", self._task("term"), self._framed(presentation, text), sentence(finding.term))

    def _alarms(self) -> Document:
        _, presentation, text = self._pick()
        answer = f"Signos de alarma: {join_or(presentation.alarm_signs)}."
        return chat("alarms", self._task("alarms"), self._framed(presentation, text), answer)

    def _repeat(self) -> Document:
        _, presentation, text = self._pick()
        return chat("repeat", self._task("repeat"), self._framed(presentation, text), sentence(text))

    def _color(self) -> Document:
        thing, level = self.rng.choice(self.notes["colored"]), self.rng.choice(LEVELS)
        if self.rng.random() < 0.5:
            return prose("color", sentence(f"{thing} es de color {level}"))
        return chat("color", "Responde a la pregunta.", f"¿De qué color es {thing}?", f"Es de color {level}.")

    def _boilerplate(self) -> Document:
        """The sentences of an answer in any order, every part drawn from another level or presentation; the number is the country's."""
        draw = lambda: SCALE[self.rng.choice(LEVELS)]  # noqa: E731
        country = self.rng.choice(list(countries().values()))
        lines = [
            f"Nivel de Urgencia: {draw().key} — {draw().name}",
            f"Espera máxima en urgencias: {draw().wait_minutes} minutos",
            f"Qué hacer: {draw().action}.",
            f"Signos de alarma: {join_or(self.rng.choice(presentations()).alarm_signs)}.",
            f"Aviso: {RUBRIC['disclaimer']}.",
            f"Emergencias: {' o '.join(country.numbers)}.",
        ]
        if self.rng.random() < 0.7:
            self.rng.shuffle(lines)
        text = "\n".join(lines[: self.rng.randint(2, len(lines))])
        if self.rng.random() < 0.5:
            return prose("boilerplate", text)
        return chat("boilerplate", self.notes["country"].format(country=country.country), "Escribe un ejemplo de respuesta.", text)

    def _general(self) -> Document:
        words = self.notes["general"]
        parts = (self.rng.choice(words[kind]) for kind in ("subjects", "predicates", "circumstances"))
        return prose("general", sentence(" ".join(parts)))


def write_corpus(n: int, seed: int) -> list[Document]:
    """`n` documents, the same for the same seed."""
    writer = Writer(seed)
    return [writer.document() for _ in range(n)]


def leaks(documents: Iterable[Document]) -> list[str]:
    """Search the finished texts for what the base must not know; an empty list is the proof.

    A leak is a document that holds (1) a finding's wording and a level word, or (2) a dev or test wording and a severity phrase.
    The search reads the text alone, never how the document was made.
    """
    texts = [document.text for document in documents]
    everything = [finding for presentation in presentations() for finding in presentation.findings]
    held_out = {text for finding in everything for split in SPLITS[1:] for text in finding.texts(split)}
    wordings = held_out | {text for finding in everything for text in finding.texts("train")}
    severities = {phrase for phrases in read_yaml(DATA / "pretraining.yaml")["severity"].values() for phrase in phrases}
    return [f"a level beside a finding: {text!r}" for text in audit.together(texts, LEVELS, wordings)] + [
        f"a severity beside a held-out wording: {text!r}" for text in audit.together(texts, severities, held_out)
    ]
