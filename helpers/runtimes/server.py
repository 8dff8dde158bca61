"""llama.cpp behind HTTP: llama-cpp-python's server in a process of its own, asked through the `openai` client.

The client sends chat messages; the server renders the template inside its GGUF, tokenizes and answers. A repeat penalty is switched off
by name, because the server's library has one by default and greedy answers change with it.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openai

from helpers import processes
from helpers.cases import Example
from helpers.export import renderer
from helpers.files import LabError
from helpers.runtimes.llama import checked, context_size, default_threads
from helpers.runtimes.reply import LENGTH, STOP, Reply, level_place
from helpers.train import Profile, current_profile
from helpers.triage import LEVEL_HEADING, LEVELS

_SCRIPT = Path(__file__).with_name("serving.py")
_TOP = 20  # tokens whose odds are asked for at the level's place
_PRIVATE = ("MINIMAX_API_KEY", "OPENAI_API_KEY", "HF_TOKEN")  # nothing the server needs


class Server:
    """A GGUF behind an OpenAI-compatible endpoint on loopback. Stop it, or use it in a `with` block; it also ends with its owner.

    Args:
        path: the file.
        threads: chosen by the file's size if not given.
        profile: whose context length and answer length; the current one if not given.

    Attributes:
        name: "server", its name in results.
        load_seconds: from the start of the process to the open port.

    Raises:
        LabError: the file is damaged, or the server does not come up; the message holds its last words.
    """

    name = "server"

    def __init__(
        self, path: str | Path, *, threads: int | None = None, profile: Profile | None = None
    ) -> None:
        self.path, settings = Path(path).resolve(), profile or current_profile()
        header = checked(self.path)
        renderer(header)  # without a template the server would ask in a form of its own
        self._limit, cores = settings.generate["max_new_tokens"], threads or default_threads(header.bytes)
        model = {
            "model": str(self.path),
            "model_alias": self.path.stem,
            "n_ctx": context_size(settings),
            "n_threads": cores,
        }
        quiet = {"n_threads_batch": cores, "use_mlock": False, "verbose": False}
        key, started = secrets.token_urlsafe(32), time.perf_counter()
        port = self._start({"api_key": key, "model": model | quiet})
        self.load_seconds = time.perf_counter() - started
        direct = openai.DefaultHttpxClient(trust_env=False)  # a proxy has no business on loopback
        self._client = openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/v1",
            api_key=key,
            max_retries=0,
            timeout=120,
            http_client=direct,
        )
        try:
            self._levels = self._level_tokens()
        except BaseException:
            self.stop()
            raise

    def _start(self, settings: dict[str, Any]) -> int:
        environment = {name: value for name, value in os.environ.items() if name not in _PRIVATE}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `stop`)
        self._process = subprocess.Popen(
            [sys.executable, str(_SCRIPT)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the owner, who stops it in order
        )
        atexit.register(self.stop)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(settings).encode() + b"\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())
        except (OSError, ValueError):
            last = self._last_words()
            self.stop()
            raise LabError(
                f"llama.cpp's server did not come up for {self.path} ({last}). `make tutorial` mends the environment."
            ) from None
        except BaseException:
            self.stop()
            raise

    def _last_words(self) -> str:
        if self._log.closed:
            return "it was stopped"
        self._process.wait(5)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else f"exit code {self._process.returncode}, no message"

    def stop(self) -> None:
        """End the server; a second time does nothing."""
        processes.end(self._process)
        self._log.close()
        atexit.unregister(self.stop)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def complete(self, conversations: Sequence[Example], *, max_new_tokens: int | None = None) -> list[Reply]:
        """Greedy answers, in the order of `conversations`.

        Raises:
            LabError: the server refuses a request, or is gone.
        """
        try:
            return [self._answer(example, max_new_tokens or self._limit) for example in conversations]
        except openai.APIError as error:
            if self._process.poll() is not None:
                raise LabError(
                    f"llama.cpp's server has ended ({self._last_words()}). Start it again."
                ) from None
            raise LabError(
                f"llama.cpp's server refused a request ({error}). Shorten the prompt, or look at the model's file."
            ) from None

    def _answer(self, example: Example, limit: int) -> Reply:
        choice = self._chat(example, limit)
        fed = self._client.get("../lab/fed", cast_to=dict[str, Any])
        reason = LENGTH if choice.finish_reason == "length" else STOP
        text = (choice.message.content or "").strip()
        odds = self._odds(example) if text.startswith(LEVEL_HEADING) and self._levels else None
        return Reply(fed["prompt"], tuple(fed["tokens"]), text, reason, odds)

    def _chat(self, example: Example, limit: int, **more: Any) -> Any:
        how = {"temperature": 0.0, "max_tokens": limit, "extra_body": {"repeat_penalty": 1.0}}
        return self._client.chat.completions.create(
            model=self.path.stem, messages=example.prompt, **how, **more
        ).choices[0]

    def _odds(self, example: Example) -> dict[int, float]:
        """Log-probabilities of the levels, from a second and short request: the server sorts the vocabulary for every token it explains."""
        last = self._chat(example, len(self._place) + 1, logprobs=True, top_logprobs=_TOP).logprobs.content[
            -1
        ]
        return {
            self._levels[row.token]: row.logprob for row in last.top_logprobs if row.token in self._levels
        }

    def _level_tokens(self) -> dict[str, int]:
        """Each level's token by its text, blank included; empty where a level is more than one token."""
        cut = {level: self._tokens(f"{LEVEL_HEADING} {level}") for level in LEVELS}
        self._place = level_place(lambda text: cut[text.split()[-1]])
        if any(len(tokens) != len(self._place) + 1 for tokens in cut.values()):
            return {}
        return {f" {level}": tokens[-1] for level, tokens in cut.items()}

    def _tokens(self, text: str) -> list[int]:
        return self._client.post("../extras/tokenize", cast_to=dict[str, Any], body={"input": text})["tokens"]
