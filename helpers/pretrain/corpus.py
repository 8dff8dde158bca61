"""The documents the nano base reads, and the proof of what they do not say.

The base may know Spanish, the chat form, colour words in other contexts, an answer's sentences in any order
with colour and content drawn apart, paraphrases that link all wordings of a finding, and the plain-language
severity and alarm signs of *training* wordings. It must not know a level for any finding, a severity for a dev or test
wording, or anything of a held-out syndrome: `leaks` searches the finished text for these.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from helpers import audit
from helpers.cases import SPLITS, Finding, Wording, findings, held_out, put_in_frame, syndromes
from helpers.cases.writers import frames
from helpers.files import DATA, read_yaml
from helpers.triage import LEVELS, RUBRIC, SCALE, countries, join_or, number_line

KINDS = {
    "severity": 28,
    "paraphrase": 20,
    "term": 26,
    "alarms": 6,
    "repeat": 2,
    "color": 5,
    "boilerplate": 8,
    "numbers": 4,
    "general": 5,
}


@dataclass(frozen=True)
class Document:
    """One text of the corpus: chat messages, or plain prose in a single message with role `text`."""

    messages: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """All its words, for the audit."""
        return "\n".join(content for _, content in self.messages)


def _prose(text: str) -> Document:
    return Document((("text", text),))


def _chat(system: str, user: str, assistant: str) -> Document:
    return Document((("system", system), ("user", user), ("assistant", assistant)))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


class Writer:
    """Draws documents from the micro-world and `data/pretraining.yaml`.

    With `linked` false, the base reads paraphrases, terms and repetitions of training wordings alone: what an
    unseen wording is worth then shows what the links gave.
    """

    def __init__(self, seed: int, linked: bool = True) -> None:
        self.rng = random.Random(seed)
        self.notes: dict[str, Any] = read_yaml(DATA / "pretraining.yaml")
        self.world = list(findings().values())
        self.splits = SPLITS if linked else SPLITS[:1]

    def document(self) -> Document:
        """One document of a random kind."""
        kind = self.rng.choices(list(KINDS), list(KINDS.values()))[0]
        return getattr(self, f"_{kind}")()

    def _pick(self, splits: Sequence[str]) -> tuple[Finding, Wording]:
        """A finding and one of its wordings from these splits, or its chart term."""
        finding = self.rng.choice(self.world)
        wordings = [wording for split in splits for wording in finding.wordings[split]]
        return finding, self.rng.choice([*wordings, Wording(finding.term, "ficha")])

    def _framed(self, wording: Wording) -> str:
        return put_in_frame(self.rng.choice(frames(wording, "train")), wording.text)

    def _task(self, kind: str) -> str:
        return self.rng.choice(self.notes["tasks"][kind])

    def _severity(self) -> Document:
        finding, wording = self._pick(SPLITS[:1])
        severity = self.rng.choice(self.notes["severity"][finding.level])
        form = self.rng.random()
        if form < 0.25:
            return _prose(f"{_sentence(wording.text)} Este cuadro {severity}.")
        if form < 0.45:
            return _prose(f"{self._framed(wording)} Este cuadro {severity}.")
        return _chat(self._task("severity"), self._framed(wording), f"Este cuadro {severity}.")

    def _paraphrase(self) -> Document:
        finding, wording = self._pick(self.splits)
        others = [text for split in self.splits for text in finding.texts(split) if text != wording.text]
        other = self.rng.choice([*others, finding.term])
        if self.rng.random() < 0.3:
            return _prose(_sentence(f"{wording.text}, es decir, {other}"))
        return _chat(self._task("paraphrase"), self._framed(wording), _sentence(other))

    def _term(self) -> Document:
        finding, wording = self._pick(self.splits)
        return _chat(self._task("term"), self._framed(wording), _sentence(finding.term))

    def _alarms(self) -> Document:
        finding, wording = self._pick(SPLITS[:1])
        answer = f"Signos de alarma: {join_or(finding.syndrome.alarm_signs)}."
        return _chat(self._task("alarms"), self._framed(wording), answer)

    def _repeat(self) -> Document:
        _, wording = self._pick(self.splits)
        return _chat(self._task("repeat"), self._framed(wording), _sentence(wording.text))

    def _color(self) -> Document:
        thing, level = self.rng.choice(self.notes["colored"]), self.rng.choice(LEVELS)
        if self.rng.random() < 0.5:
            return _prose(_sentence(f"{thing} es de color {level}"))
        return _chat("Responde a la pregunta.", f"¿De qué color es {thing}?", f"Es de color {level}.")

    def _boilerplate(self) -> Document:
        """An answer's sentences in any order, every part of another level or syndrome."""
        draw = lambda: SCALE[self.rng.choice(LEVELS)]  # noqa: E731
        country = self.rng.choice(list(countries().values()))
        words = {"call": country.call, "place": country.place}
        level = draw()
        action = self.rng.choice([text for text in (level.action, level.call_first) if text])
        aid = self.rng.choice(
            [row.first_aid for row in syndromes().values() if row.first_aid and not row.held_out]
        )
        signs = join_or(self.rng.choice(self.world).syndrome.alarm_signs)
        lines = [
            f"Nivel de Urgencia: {draw().key} — {draw().name}",
            f"Qué hacer: {action.format(**words)}.",
            RUBRIC["first_aid"].format(text=aid),
            RUBRIC[self.rng.choice(("alarms", "alarms_again"))].format(signs=signs, call=country.call),
            f"Aviso: {RUBRIC['disclaimer']}.",
            f"Emergencias: {number_line(country)}.",
        ]
        if self.rng.random() < 0.7:
            self.rng.shuffle(lines)
        text = "\n".join(lines[: self.rng.randint(2, len(lines))])
        if self.rng.random() < 0.25:
            return _prose(text)
        land = self.notes["country"].format(country=country.country)
        return _chat(land, "Escribe un ejemplo de respuesta.", text)

    def _numbers(self) -> Document:
        """A country and its numbers in one short text, so that one block of training holds both."""
        country = self.rng.choice(list(countries().values()))
        land = self.notes["country"].format(country=country.country)
        return _chat(land, self._task("numbers"), f"Emergencias: {number_line(country)}.")

    def _general(self) -> Document:
        words = self.notes["general"]
        parts = (self.rng.choice(words[kind]) for kind in ("subjects", "predicates", "circumstances"))
        return _prose(_sentence(" ".join(parts)))


def write_corpus(n: int, seed: int, linked: bool = True) -> list[Document]:
    """`n` documents, the same for the same seed; see `Writer` for `linked`."""
    writer = Writer(seed, linked)
    return [writer.document() for _ in range(n)]


def leaks(documents: Iterable[Document]) -> list[str]:
    """Search the finished texts for what the base must not know; an empty list is the proof.

    A leak is a document that holds (1) a finding's wording or term and a level word, (2) a dev or test
    wording and a severity phrase, or (3) any wording of a held-out syndrome. The search reads the text alone,
    never how the document was made.
    """
    texts = [document.text for document in documents]
    everything = list(findings().values())
    unseen = {text for finding in everything for split in SPLITS[1:] for text in finding.texts(split)}
    wordings = unseen | {text for finding in everything for text in (finding.term, *finding.texts("train"))}
    severity = read_yaml(DATA / "pretraining.yaml")["severity"]
    severities = {phrase for phrases in severity.values() for phrase in phrases}
    foreign = audit.PhraseIndex(wording.text for rows in held_out().values() for wording in rows)
    found = {
        "a level beside a finding": audit.together(texts, LEVELS, wordings),
        "a severity beside a held-out wording": audit.together(texts, severities, unseen),
        "a held-out syndrome": [text for text in texts if foreign.search(text)],
    }
    return [f"{what}: {text!r}" for what, leaked in found.items() for text in leaked]
