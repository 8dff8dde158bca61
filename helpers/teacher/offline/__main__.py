"""The offline teacher's process: `python -m helpers.teacher.offline '{"minute": 60}'`. Loopback, a free port, gone with its owner.

The owner holds the other end of standard input. When it ends, by whatever death, the pipe closes and this process ends too.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading

import uvicorn

from helpers.teacher.offline import answers
from helpers.teacher.offline.server import Options, Teacher


def _end_with_owner() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_owner, daemon=True).start()
    answers.triage_answer(
        "País: México."
    )  # loads the rubric: in the first request it would look like a slow server
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    app = Teacher(Options.model_validate_json(sys.argv[1] if len(sys.argv) > 1 else "{}")).app()
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", timeout_keep_alive=75)
    print(listener.getsockname()[1], flush=True)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
