"""Which teacher is asked: its address, model, limits and prices (`data/teachers.yaml`), and its key, which never shows itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from helpers.files import DATA, LabError, read_yaml

TEACHERS = ("minimax", "compatible", "offline")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
HIDDEN = "•••"


class Secret:
    """A key that no `repr`, format, or copy into a dictionary gives away and nothing can serialise; `reveal()` is the one way to it."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value.strip()

    def reveal(self) -> str:
        """The key itself; call it where the request is built and nowhere else."""
        return self.__value

    def hide(self, text: str) -> str:
        """`text` with every occurrence of the key blotted out (a server may echo it in an error)."""
        return text.replace(self.__value, HIDDEN) if len(self.__value) >= 4 else text

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError("a key is not written down")

    def __deepcopy__(self, memo: Any) -> Secret:
        return self  # dataclasses.asdict copies: it gets the object, which shows nothing


@dataclass(frozen=True)
class Endpoint:
    """A teacher as the client sees it.

    Attributes:
        name: one of `TEACHERS`.
        what: a sentence's subject for readers ("MiniMax M2.5").
        base_url: up to and including /v1.
        requests_per_minute, tokens_per_minute: the server's limits; None when unknown (then only its 429s are obeyed).
        price_in, price_out: US dollars for a million tokens; None when unknown.
        minute: seconds that the server's minute lasts; 60 except for an offline teacher with a faster clock.
        notional: the price is what MiniMax would have charged; nobody is charged.
    """

    name: str
    what: str
    base_url: str
    model: str
    key: Secret = field(default_factory=lambda: Secret("none"))
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    temperature: float = 0.7
    max_completion_tokens: int = 2048
    token_limit_name: str = "max_tokens"
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    codes: Mapping[str, list[int]] = field(default_factory=dict)
    timeout_s: float = 180.0
    minute: float = 60.0
    notional: bool = False

    @property
    def local(self) -> bool:
        """On this machine: proxies from the environment are then left alone."""
        return (urlsplit(self.base_url).hostname or "") in LOOPBACK

    @property
    def shown_url(self) -> str:
        """The address without a user name or password somebody may have put into it."""
        parts = urlsplit(self.base_url)
        host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        return f"{parts.scheme}://{host}{parts.path}"

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float | None:
        """US dollars for so many tokens; None when the price is unknown."""
        if self.price_in is None or self.price_out is None:
            return None
        return (prompt_tokens * self.price_in + completion_tokens * self.price_out) / 1e6

    def _repr_markdown_(self) -> str:
        price = (
            "price unknown"
            if self.price_in is None
            else f"${self.price_in:.2f} in / ${self.price_out:.2f} out per million tokens{' (MiniMax’s price; nobody is charged)' if self.notional else ''}"
        )
        limits = (
            f"{self.requests_per_minute:,.0f} requests a minute"
            if self.requests_per_minute
            else "limits unknown"
        )
        clock = "" if self.minute == 60 else f" (a minute lasts {self.minute:g} s here)"
        return f"**Teacher**: {self.what}, model `{self.model}`, {limits}{clock}, {price}."

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r}, {self.shown_url!r}, model={self.model!r}, key={HIDDEN})"


def chosen() -> str:
    """The teacher that the environment asks for: one of `TEACHERS`.

    Raises:
        LabError: TRIAGE_TEACHER names none of them.
    """
    wanted = os.environ.get("TRIAGE_TEACHER", "").strip().lower()
    if wanted and wanted not in TEACHERS:
        raise LabError(
            f"There is no teacher {wanted!r}. Set TRIAGE_TEACHER to one of {', '.join(TEACHERS)}, or unset it."
        )
    if wanted:
        return wanted
    if os.environ.get("MINIMAX_API_KEY", "").strip():
        return "minimax"
    return "compatible" if os.environ.get("OPENAI_BASE_URL", "").strip() else "offline"


def described(name: str, **changes: Any) -> Endpoint:
    """The endpoint of this name as `data/teachers.yaml` describes it, with `changes` on top."""
    row = dict(read_yaml(DATA / "teachers.yaml")[name])
    price = row.pop("price", {})
    fields = {"price_in": price.get("input"), "price_out": price.get("output"), **row, **changes}
    return Endpoint(name=name, notional=name == "offline", **fields)


def remote_endpoint(name: str) -> Endpoint:
    """MiniMax, or the endpoint of OPENAI_BASE_URL.

    Raises:
        LabError: a variable is missing or cannot be what it should be; the message never holds the key.
    """
    if name == "minimax":
        return described("minimax", key=_key("MINIMAX_API_KEY", required=True))
    url = os.environ.get("OPENAI_BASE_URL", "").strip()
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LabError(
            "OPENAI_BASE_URL must be an address such as http://127.0.0.1:8080/v1. Set it, or unset it to use the offline teacher."
        )
    model = os.environ.get("OPENAI_MODEL", "").strip()
    if not model:
        raise LabError(
            "OPENAI_BASE_URL is set but OPENAI_MODEL is not. Set it to the model's name at that server."
        )
    changes = {"token_limit_name": "max_completion_tokens"} if parts.hostname == "api.openai.com" else {}
    return described(
        "compatible", base_url=url.rstrip("/"), model=model, key=_key("OPENAI_API_KEY"), **changes
    )


def _key(variable: str, required: bool = False) -> Secret:
    value = os.environ.get(variable, "").strip()
    if required and not value:
        raise LabError(
            f"{variable} is not set. Set it to your key, or unset TRIAGE_TEACHER to use the offline teacher."
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise LabError(
            f"{variable} holds characters that no key has (a line break, a space, a typographic sign). Copy the key again."
        )
    return Secret(value or "none")
