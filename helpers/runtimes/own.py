"""Any model before a reader's own cases and gates: a folder, a GGUF, or an OpenAI-compatible endpoint."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import openai

from helpers.audit.reading import items, rows
from helpers.evaluate import generate
from helpers.evaluate.gates import Gate, Judged, Report, load_gates
from helpers.export import native_log, read_header
from helpers.files import DATA, LabError
from helpers.progress import Progress
from helpers.runtimes.llama import opened
from helpers.runtimes.server import GREEDY, UNPENALISED
from helpers.statistics import wilson
from helpers.train import current_profile

OWN_GATES = DATA / "own-gates.yaml"
MEASURES = ("accepted", "readable", "missed", "matches")
Chat = list[dict[str, str]]


class Case(NamedTuple):
    """A conversation up to the model's turn, and the labels that are right for it."""

    prompt: Chat
    accepted: tuple[str, ...]


def read_cases(source: str, text: str | None = None, label: str | None = None) -> list[Case]:
    """The cases of a file that `audit.reading` can read; several right labels are written `A|B`.

    Raises LabError: unreadable, or a case without a label.
    """
    cases = []
    for number, item in enumerate(items(rows(source), source, text, label), 1):
        accepted = tuple(one.strip() for one in item.label.split("|") if one.strip())
        if not accepted:
            how = "Give each case its label (several: A|B), or name the column with --label"
            raise LabError(f"{source}, row {number}: no label to judge an answer by. {how}.")
        system = [{"role": "system", "content": item.system}] if item.system else []
        cases.append(Case([*system, {"role": "user", "content": item.text}], accepted))
    return cases


def read_label(answer: str, labels: Sequence[str]) -> str | None:
    """The label that stands first in an answer, as whole words; case does not count. None: there is none."""
    longest_first = sorted(labels, key=len, reverse=True)
    pattern = "|".join(rf"(?<!\w){re.escape(one)}(?!\w)" for one in longest_first)
    found = re.search(pattern, answer, re.IGNORECASE)
    return next((one for one in labels if found and one.casefold() == found[0].casefold()), None)


def judge(cases: Sequence[Case], answers: Sequence[str], gates: Sequence[Gate], on: str) -> Report:
    """Hold answers to own cases against own gates. Raises LabError: `missed` names a label of no case."""
    labels = sorted({one for case in cases for one in case.accepted})
    given = [read_label(answer, labels) for answer in answers]
    judged = []
    for gate in gates:
        measure, _, what = gate.measure.partition(" ")
        if measure == "missed":
            held = [one != what for case, one in zip(cases, given, strict=True) if case.accepted == (what,)]
        elif measure == "matches":
            held = [bool(re.search(what, answer)) for answer in answers]
        elif measure == "readable":
            held = [one is not None for one in given]
        else:
            held = [one in case.accepted for case, one in zip(cases, given, strict=True)]
        if not held:
            told = f"no case asks for {what!r} alone. The labels: {', '.join(labels)}"
            raise LabError(f"Gate {gate.id!r}: {told}.")
        rate = wilson(sum(held), len(held))
        judged.append(Judged(gate, rate, gate.verdict(rate)))
    return Report(len(cases), on, tuple(judged))


def answer(model: str, cases: Sequence[Case], name: str = "") -> list[str]:
    """What a model says to every case, greedily.

    Args:
        model: a folder or hub id, a `.gguf` file of any architecture, or an endpoint's address (`http…/v1`; its
            key is read from OPENAI_API_KEY).
        name: of the model at an endpoint that has several.

    Raises LabError: the model cannot be read, or the endpoint fails; nothing of its key is told.
    """
    if not model.startswith(("http://", "https://")) and not model.endswith(".gguf"):
        return [one.text for one in generate(model, cases, label="Answering")]
    limit = current_profile().generate["max_new_tokens"]
    ask = _file(model, limit) if model.endswith(".gguf") else _endpoint(model, name, limit)
    answers = []
    with Progress("Answering", len(cases)) as progress:
        for number, case in enumerate(cases, 1):
            try:
                answers.append(ask(case.prompt))
            except (ValueError, RuntimeError, TypeError, KeyError, AttributeError, IndexError) as error:
                what = f"{type(error).__name__}: {error}"
                raise LabError(f"{model} did not answer case {number} ({what}).") from None
            progress.update(1)
        progress.done(f"{len(answers):,} cases answered.")
    return answers


def _file(path: str, limit: int) -> Callable[[Chat], str]:
    """A GGUF of any architecture that llama.cpp knows, asked through its own chat template."""
    read_header(path)  # llama.cpp ends the whole process on some damaged files
    llama = opened(path, n_ctx=current_profile().max_length + limit)

    def ask(chat: Chat) -> str:
        with native_log():
            llama.reset()
            reply: Any = llama.create_chat_completion(chat, **GREEDY, **UNPENALISED, max_tokens=limit)
        return reply["choices"][0]["message"]["content"]

    return ask


def _endpoint(url: str, name: str, limit: int) -> Callable[[Chat], str]:
    key = os.environ.get("OPENAI_API_KEY") or "none"  # a server of one's own asks for none
    client = openai.OpenAI(base_url=url, api_key=key, max_retries=3, timeout=120)
    # llama.cpp's servers may penalise repetition unless told not to; hosted ones refuse the field
    plain = {} if url.startswith("https://") else UNPENALISED

    def ask(chat: Chat) -> str:
        try:
            model = name or client.models.list().data[0].id
            how = {**GREEDY, "max_tokens": limit, "extra_body": plain}
            said: Any = client.chat.completions.create(model=model, messages=chat, **how)
        except openai.APIError as error:
            status = getattr(error, "status_code", None)
            why = f"status {status}" if status else type(error).__name__
            how = "Check address, key (OPENAI_API_KEY) and --model-name, and run the command again"
            raise LabError(f"{url} refused a request ({why}). {how}.") from None
        return said.choices[0].message.content or ""

    return ask


def check(
    model: str,
    source: str,
    gates: Path = OWN_GATES,
    text: str | None = None,
    label: str | None = None,
    name: str = "",
) -> Report:
    """Let a model answer a file's cases, and judge it. Arguments as of `read_cases` and `answer`."""
    known, cases = load_gates(gates, MEASURES), read_cases(source, text, label)
    return judge(cases, answer(model, cases, name), known, Path(source).name)
