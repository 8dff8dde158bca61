"""The offline teacher's process: `python -m helpers.teacher.offline '{"minute": 60}'`. Loopback, a free port, gone with its owner.

The owner holds the other end of standard input. When it ends, by whatever death, the pipe closes and this process ends too.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import time

import uvicorn

from helpers.teacher.offline import answers
from helpers.teacher.offline.faults import Options
from helpers.teacher.offline.server import Protocol, Teacher


def _end_with_owner() -> None:
    """End this process when standard input closes, or when the parent is another one (a fork may keep the pipe open)."""
    parent = os.getppid()

    def listen() -> None:
        while sys.stdin.buffer.read(1):
            pass
        os._exit(0)

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(0)

    for watch in (listen, look):
        threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Serve until the owner is gone."""
    options = Options.of(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})
    _end_with_owner()
    answers.triage_answer(
        "", "País: México."
    )  # load the rubric now: inside the first request it would look like a slow server
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    teacher = Teacher(options)
    config = uvicorn.Config(
        teacher.app(), http=Protocol, log_level="critical", lifespan="off", ws="none", timeout_keep_alive=75
    )
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
