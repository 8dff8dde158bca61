"""The offline teacher: a small OpenAI-compatible server on loopback that answers from the shipped material, limits and breaks like a real one.

    with OfflineTeacher(minute=6, faults=Faults.storm(0.3)) as teacher:
        client = Client(teacher.endpoint)

It runs in a process of its own and ends with its owner, even when the owner is killed.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from typing import Any

from helpers import processes
from helpers.files import ROOT, LabError
from helpers.teacher.config import Endpoint, described
from helpers.teacher.offline.server import Faults, Options

__all__ = ["Faults", "OfflineTeacher", "Options"]
_PRIVATE = ("MINIMAX_API_KEY", "OPENAI_API_KEY", "HF_TOKEN")


class OfflineTeacher:
    """Starts on `start()` or at the head of a `with`; arguments are those of `Options`.

    Raises:
        LabError: the process did not come up; the message holds its last words.
    """

    def __init__(self, **options: Any) -> None:
        self.options = Options(**options)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""  # its address, without /v1

    def start(self) -> OfflineTeacher:
        """Start the server if it is not running; returns itself once it listens."""
        if self._process is not None and self._process.poll() is None:
            return self
        with tempfile.TemporaryFile() as words:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "helpers.teacher.offline", self.options.model_dump_json()],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if name not in _PRIVATE},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                start_new_session=True,  # Ctrl-C is for the owner, who stops it in order
            )
            atexit.register(self.stop)
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            if not line:
                words.seek(0)
                last = words.read().decode("utf-8", "replace").strip().splitlines()[-1:]
                raise LabError(
                    f"The offline teacher did not start ({' '.join(last) or 'no message'}). Run `make tutorial` to mend the environment."
                )
        self.url = f"http://127.0.0.1:{int(line)}"
        return self

    def stop(self) -> None:
        """End the server; safe to call twice."""
        if self._process is not None:
            processes.end(self._process)
            self._process = None
            atexit.unregister(self.stop)

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return self._process.pid if self._process else None

    @property
    def endpoint(self) -> Endpoint:
        """What a client needs. Limits and clock are the server's own."""
        own = self.options.model_dump(include={"minute", "requests_per_minute"})
        return described("offline", base_url=f"{self.url}/v1", key=self.options.key or "offline", **own)

    def stats(self) -> dict[str, Any]:
        """The server's counters: accepted, limited (429), broken, refused, in_flight, peak_in_flight, tokens, faults, and `series`."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.url}/stats", timeout=10) as response:
            return json.loads(response.read())

    def __enter__(self) -> OfflineTeacher:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
