"""Which teacher is asked: address, model, limits and prices (`data/teachers.yaml`), and a hidden key."""

import os
import re
from typing import Any, NoReturn
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr

from helpers.files import DATA, LabError, read_yaml

TABLE = read_yaml(DATA / "teachers.yaml")  # teachers, outcomes, advice


class Endpoint(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """A teacher as the client sees it; with another price: `endpoint.model_copy(update={"price_in": 1.0})`.

    Attributes:
        what: a sentence's subject for readers ("MiniMax M2.5"). base_url: up to and including /v1.
        requests_per_minute, tokens_per_minute: its limits; None when unknown (then only its 429s are obeyed).
        price_in, price_out: US dollars for a million tokens, on `price_date`; None when unknown.
        minute: seconds that the server's minute lasts; 60 except for an offline teacher with a faster clock.
    """

    name: str
    what: str
    base_url: str
    model: str
    key: SecretStr = SecretStr("none")
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    price_date: str = ""
    temperature: float = 0.7
    max_completion_tokens: int = 2048
    token_limit_name: str = "max_tokens"
    extra_body: dict[str, Any] = Field(default_factory=dict)
    timeout_s: float = 180.0
    minute: float = 60.0

    @property
    def local(self) -> bool:
        """On this machine: proxies from the environment are then left alone."""
        return (urlsplit(self.base_url).hostname or "") in ("127.0.0.1", "::1", "localhost")

    @property
    def shown_url(self) -> str:
        """The address without a user name or password somebody may have put into it."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float | None:
        """US dollars for so many tokens; None when the price is unknown."""
        if self.price_in is None or self.price_out is None:
            return None
        return (prompt_tokens * self.price_in + completion_tokens * self.price_out) / 1e6

    def hide(self, text: str) -> str:
        """`text` with every occurrence of the key blotted out (a server may echo it in an error)."""
        key = self.key.get_secret_value()
        return text.replace(key, "•••") if len(key) >= 4 else text

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not written down")

    def __repr_args__(self) -> list[tuple[str, str]]:
        return [("name", self.name), ("base_url", self.shown_url), ("model", self.model)]

    def _repr_markdown_(self) -> str:
        limit = f"{self.requests_per_minute:,.0f}" if self.requests_per_minute else "an unknown number of"
        minute = "minute" if self.minute == 60 else f"minute of {self.minute:g} s"
        nobody = "; MiniMax’s, and nobody is charged" if self.name == "offline" else ""
        price = f"${self.price_in} in / ${self.price_out} out per million tokens ({self.price_date}{nobody})"
        price = "price unknown" if self.price_in is None else price
        return f"**Teacher**: {self.what}, model `{self.model}`, {limit} requests a {minute}, {price}."


def described(name: str, **changes: Any) -> Endpoint:
    """A teacher of `data/teachers.yaml`, with what the caller knows better."""
    return Endpoint(**{"name": name, **TABLE["teachers"][name], **changes})


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()


def chosen() -> str:
    """What the environment asks for: "minimax", "compatible" or "offline"; LabError if it is another."""
    by_address = "compatible" if _variable("OPENAI_BASE_URL") else "offline"
    by_key = "minimax" if _variable("MINIMAX_API_KEY") else by_address
    wanted, known = _variable("TRIAGE_TEACHER").lower() or by_key, TABLE["teachers"]
    if wanted not in known:
        raise LabError(f"There is no teacher {wanted!r}. Set TRIAGE_TEACHER to one of {', '.join(known)}.")
    return wanted


def remote_endpoint(name: str) -> Endpoint:
    """MiniMax, or the endpoint of OPENAI_BASE_URL; LabError (without the key) if a variable is wrong."""
    if name == "minimax":
        if not _variable("MINIMAX_API_KEY"):
            raise LabError("MINIMAX_API_KEY is not set. Set it to your key, or unset TRIAGE_TEACHER.")
        return described("minimax", key=_key("MINIMAX_API_KEY"))
    url, model = _variable("OPENAI_BASE_URL"), _variable("OPENAI_MODEL")
    if not re.match(r"https?://[^/]", url):
        raise LabError("OPENAI_BASE_URL must be an address like http://127.0.0.1:8080/v1. Mend or unset it.")
    if not model:
        raise LabError("OPENAI_MODEL is not set. Set it to the model's name at the server.")
    own = {"token_limit_name": "max_completion_tokens"} if "api.openai.com" in url else {}
    return described("compatible", base_url=url.rstrip("/"), model=model, key=_key("OPENAI_API_KEY"), **own)


def _key(variable: str) -> SecretStr:
    value = _variable(variable)
    if not re.fullmatch("[!-~]*", value):
        raise LabError(f"{variable} holds a space or another sign that no key has. Copy the key again.")
    return SecretStr(value or "none")
