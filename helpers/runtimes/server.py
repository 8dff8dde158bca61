"""llama.cpp behind HTTP: llama-cpp-python's server in a process of its own, asked by the `openai` client.

The client sends chat messages; the server renders the template inside its GGUF, tokenizes and answers.
"""

import atexit
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import openai

from helpers import processes
from helpers.cases import Example
from helpers.export import renderer
from helpers.files import LabError
from helpers.runtimes.llama import checked, default_threads
from helpers.runtimes.reply import LENGTH, STOP, Reply
from helpers.train import current_profile

# Greedy, with every setting named that a server or a file may have a default of its own for.
GREEDY = {"temperature": 0.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
UNPENALISED = {"repeat_penalty": 1.0}  # not in OpenAI's protocol: it goes into `extra_body`
_SCRIPT = Path(__file__).with_name("serving.py")
_PRIVATE = ("MINIMAX_API_KEY", "OPENAI_API_KEY", "HF_TOKEN")  # nothing the server needs


class Server(AbstractContextManager):
    """A GGUF behind an OpenAI-compatible endpoint on loopback, for a `with` block. It ends with its owner.

    `url` and `key` are for any client: `OpenAI(base_url=server.url, api_key=server.key)`.
    Raises LabError: the file is damaged, or the server does not come up; the message holds its last words.
    """

    name = "server"

    def __init__(self, path: str | Path) -> None:
        self.path, settings = Path(path).resolve(), current_profile()
        header = checked(self.path)
        renderer(header)  # without a template the server would ask in a form of its own
        self._limit, cores = settings.generate["max_new_tokens"], default_threads(header.bytes)
        context = settings.max_length + self._limit
        model = {"model": str(self.path), "model_alias": self.path.stem, "n_ctx": context}
        model |= {"n_threads": cores, "n_threads_batch": cores, "use_mlock": False, "verbose": False}
        self.key = secrets.token_urlsafe(32)
        self.url = f"http://127.0.0.1:{self._start({'api_key': self.key, 'model': model})}/v1"
        direct = openai.DefaultHttpxClient(trust_env=False)  # a proxy has no business on loopback
        how = {"max_retries": 0, "timeout": 120, "http_client": direct}
        self._client = openai.OpenAI(base_url=self.url, api_key=self.key, **how)

    def _start(self, settings: dict[str, Any]) -> int:
        environment = {name: value for name, value in os.environ.items() if name not in _PRIVATE}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `stop`)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log}
        # Ctrl-C is for the owner, who stops the server in order: it gets a session of its own
        how = {"env": environment, "text": True, "start_new_session": True}
        self._process = subprocess.Popen([sys.executable, "-P", str(_SCRIPT)], **pipes, **how)
        atexit.register(self.stop)
        try:
            print(json.dumps(settings), file=self._process.stdin, flush=True)
            return int(self._process.stdout.readline())  # type: ignore[union-attr]
        except (OSError, ValueError):
            last = self._last_words()
            self.stop()
            what = f"llama.cpp's server did not come up for {self.path} ({last})"
            raise LabError(f"{what}. `make tutorial` mends the environment.") from None
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

    def __exit__(self, *_: object) -> None:
        self.stop()

    def fed(self) -> tuple[str, tuple[int, ...]]:
        """The last prompt as the server rendered it, and its tokens. An ordinary server only counts them."""
        last = self._client.get("../lab/fed", cast_to=dict[str, Any])
        return last["prompt"], tuple(last["tokens"])

    def complete(self, conversations: Sequence[Example], *, max_new_tokens: int | None = None) -> list[Reply]:
        """Greedy answers, in order; a `LabError` if the server refuses a request, or is gone."""
        try:
            return [self._answer(example, max_new_tokens or self._limit) for example in conversations]
        except openai.APIError as error:
            what = f"refused a request ({error}). Shorten the prompt, or look at the model's file"
            if self._process.poll() is not None:
                what = f"has ended ({self._last_words()}). Start it again"
            raise LabError(f"llama.cpp's server {what}.") from None

    def _answer(self, example: Example, limit: int) -> Reply:
        how = {**GREEDY, "max_tokens": limit, "extra_body": UNPENALISED}
        ask = self._client.chat.completions.create
        choice = ask(model=self.path.stem, messages=example.prompt, **how).choices[0]
        reason = LENGTH if choice.finish_reason == "length" else STOP
        return Reply(*self.fed(), (choice.message.content or "").strip(), reason)
