"""Does the GGUF put the same question to the model? The chat template, rendered by tokenizer and by runtime, side by side.

The template is text, and two renderers can read one text differently (white space, special tokens, missing fields). So prompts are
compared, not templates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from helpers import triage
from helpers.export.header import Header, read_header
from helpers.files import LabError
from helpers.train import load_tokenizer

Conversation = Sequence[dict[str, str]]
_ASKED = triage.messages("Dolor en el pecho y sudor frío desde hace 20 minutos.", "GT")
CONVERSATIONS: tuple[Conversation, ...] = (
    _ASKED,
    _ASKED[1:],
    [
        *_ASKED,
        {"role": "assistant", "content": "Nivel de Urgencia: NARANJA"},
        {"role": "user", "content": "¿Y si se me pasa?"},
    ],
    [{"role": "system", "content": ""}, {"role": "user", "content": "  espacios y\n\nlíneas \t vacías \n"}],
    [{"role": "user", "content": "{{ 7 * 7 }} {% if x %} <b>&amp;</b> \"comillas\" 'simples' \\n 🚑 ñandú"}],
    [{"role": "user", "content": "a"}, {"role": "user", "content": "dos mensajes seguidos"}],
)


@dataclass(frozen=True)
class Difference:
    """One conversation whose prompt differs."""

    conversation: Conversation
    tokenizer: str
    gguf: str


@dataclass(frozen=True)
class TemplateCheck:
    """What became of the comparison: conversations rendered, and those that differ."""

    checked: int
    differences: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        """Every prompt is the same text."""
        return not self.differences

    def __str__(self) -> str:
        if self.same:
            return f"{self.checked} conversations: tokenizer and GGUF write the same prompts."
        first = self.differences[0]
        return (
            f"{len(self.differences)} of {self.checked} conversations give other prompts. "
            f"The first: the tokenizer writes {first.tokenizer!r}, the GGUF {first.gguf!r}."
        )


def check_template(
    model_folder: str | Path, gguf: str | Path, conversations: Sequence[Conversation] = CONVERSATIONS
) -> TemplateCheck:
    """Render conversations with the tokenizer of `model_folder` and with the template inside `gguf`, as llama-cpp-python does.

    Args:
        model_folder: folder of the model as it was trained.
        gguf: the exported file.
        conversations: lists of messages (`role`, `content`).

    Raises:
        LabError: the tokenizer or the GGUF cannot be read, or the GGUF's template is missing or not Jinja.
    """
    render, tokenizer = renderer(read_header(Path(gguf))), load_tokenizer(model_folder)
    pairs = [
        Difference(
            messages,
            tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True),
            render(messages),
        )
        for messages in conversations
    ]
    return TemplateCheck(len(pairs), tuple(pair for pair in pairs if pair.tokenizer != pair.gguf))


def renderer(header: Header) -> Callable[[Conversation], str]:
    """The chat template inside a GGUF as a function, rendered as llama-cpp-python does: a conversation becomes a prompt.

    Raises:
        LabError: the template is missing or not Jinja; and, when it is called, the template refuses the conversation.
    """
    if not header.chat_template:
        raise LabError(
            f"{header.path} carries no chat template: a runtime would ask in a form of its own. Export the model again."
        )
    try:
        formatter = Jinja2ChatFormatter(
            header.chat_template, eos_token=header.token("eos"), bos_token=header.token("bos")
        )
    except Exception as error:  # jinja2's own errors; it is not a dependency of ours
        raise LabError(
            f"The chat template in {header.path} is not valid Jinja ({error}). Export the model again."
        ) from error

    def render(messages: Conversation) -> str:
        try:
            return formatter(messages=list(messages)).prompt
        except Exception as error:  # as above, and whatever the template itself raises
            raise LabError(
                f"The chat template in {header.path} cannot render a conversation ({error}). Export the model again."
            ) from error

    return render
