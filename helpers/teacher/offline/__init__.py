"""The offline teacher: an OpenAI-compatible server on loopback that limits and breaks like a real one.

It runs in a process of its own and ends with its owner, even when the owner is killed.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from typing import Any, Self

from helpers import processes
from helpers.files import ROOT, LabError
from helpers.teacher.config import Endpoint, described
from helpers.teacher.offline.server import Options

_PRIVATE = ("MINIMAX_API_KEY", "OPENAI_API_KEY", "HF_TOKEN")


class OfflineTeacher:
    """Runs for a `with` block, with these `Options`; `url` is its address without /v1."""

    def __init__(self, **options: Any) -> None:
        self.options = Options(**options)

    def __enter__(self) -> Self:
        """Start the server; returns itself once it listens, or LabError with the process's last words."""
        code = "from helpers.teacher.offline import server; server.main()"
        command = [sys.executable, "-c", code, self.options.model_dump_json()]
        environment = {name: value for name, value in os.environ.items() if name not in _PRIVATE}
        # A session of its own: Ctrl-C is for the owner, who stops it in order.
        how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
        with tempfile.TemporaryFile() as words:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=words, **how)
            line = self.process.stdout.readline()
            if not line:
                words.seek(0)
                last = words.read().decode("utf-8", "replace").strip().splitlines()[-1:]
                raise LabError(f"The offline teacher did not start ({' '.join(last)}). Run `make tutorial`.")
        self.url = f"http://127.0.0.1:{int(line)}"
        return self

    @property
    def endpoint(self) -> Endpoint:
        """What a client needs. Limits and clock are the server's own."""
        own = self.options.model_dump(include={"minute", "requests_per_minute"})
        return described("offline", base_url=f"{self.url}/v1", **own)

    def stats(self) -> dict[str, Any]:
        """Counts: accepted, limited (429), broken, refused; `faults`; `series` by the second of its clock."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.url}/stats", timeout=10) as response:
            return json.loads(response.read())

    def __exit__(self, *_: object) -> None:
        processes.end(self.process)
