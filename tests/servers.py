"""What the teacher's tests share: a scripted server on loopback, chat completions, an offline teacher without
limits.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from helpers import teacher

KEY = "sk-test-0123456789abcdef"


def chats(n, word="hola"):
    return [[{"role": "user", "content": f"{word} {index}"}] for index in range(n)]


class Scripted:
    """A loopback server that answers each request with what `script(number, body, headers)` returns: (status,
    headers, body).
    """

    def __init__(self, script):
        self.requests, self.times, outer = [], [], self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with outer.lock:
                    outer.requests.append(body)
                    outer.times.append(time.monotonic())
                    number = len(outer.requests)
                status, headers, content = script(number, body, dict(self.headers))
                raw = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {
                    "content-type": "application/json",
                    "content-length": str(len(raw)),
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128  # a client may open 64 connections at once; the default, 5, resets some

        self.lock = threading.Lock()
        self.http = Server(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def endpoint(self, **changes):
        url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        fields = {
            "base_url": url,
            "model": "m",
            "key": KEY,
            "minute": 0.6,
            "timeout_s": 5,
            "price_in": 1.0,
            "price_out": 1.0,
        }
        return teacher.described("compatible", **fields | changes)


def completion(text="bien", finish="stop", prompt=10, answer=5, **more):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    } | more


def always(status, body, **headers):
    return lambda number, asked, sent: (status, headers, body)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]
