"""The server's process: llama-cpp-python's HTTP server on a free port of loopback, until its owner ends.

Run as a script by `helpers.runtimes.server`, which writes one line of JSON to its standard input: {"api_key":
…, "model": {settings}}. The key is in no argument, no environment and no file. When that pipe closes, for
whatever reason, the process ends.
"""

import json
import os
import socket
import sys
import threading

import uvicorn
from fastapi import Depends
from llama_cpp import Llama
from llama_cpp.llama_chat_format import Jinja2ChatFormatter
from llama_cpp.server.app import authenticate, create_app
from llama_cpp.server.settings import ModelSettings, ServerSettings

_fed: dict = {}  # what the model was last asked, rendered and tokenized: the server's answers do not say


def _listen_in() -> None:
    render, create = Jinja2ChatFormatter.__call__, Llama.create_completion

    def rendered(self, **arguments):
        result = render(self, **arguments)
        _fed["prompt"] = result.prompt
        return result

    def created(self, prompt, **arguments):
        _fed["tokens"] = list(prompt)
        return create(self, prompt, **arguments)

    Jinja2ChatFormatter.__call__, Llama.create_completion = rendered, created


def _end_with_owner() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve until standard input closes; the port is the first line of standard output."""
    asked = json.loads(sys.stdin.readline())
    _listen_in()
    settings = ServerSettings(host="127.0.0.1", api_key=asked["api_key"])
    app = create_app(server_settings=settings, model_settings=[ModelSettings(**asked["model"])])
    app.get("/lab/fed", dependencies=[Depends(authenticate)])(lambda: _fed)
    threading.Thread(target=_end_with_owner, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        sys.stdout = sys.stderr
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
