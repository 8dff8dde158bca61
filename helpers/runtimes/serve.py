"""A folder of plain files over HTTP, for the phone's page: on loopback, or with --lan in the local network.

The page brings what it needs (its service worker sets the headers), so the plainest server is enough.
"""

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import segno

from helpers.files import LabError

LAN_WARNING = (
    "Anyone in this network can open the page while it is served; "
    "use --lan only in a network that you trust.\n"
    "Over plain http a browser keeps nothing: from that address the page works only while this server runs."
)
OFFLINE = (
    "To have it on a phone without a connection, the phone has to open it as localhost or over https, once:\n"
    "  Android by cable: adb reverse tcp:{port} tcp:{port}, then http://localhost:{port}/ in its Chrome;\n"
    "  any phone: put {folder} on a web host of yours that serves https (it is a folder of plain files).\n"
    "Ctrl-C ends the server."
)


class _Files(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {  # not what a machine's registry says of them
        ".js": "text/javascript",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
    }

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # asked every time, answered 304 while nothing changed
        super().end_headers()

    def list_directory(self, _: object) -> None:  # type: ignore[override]
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: str | Path, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve a page while the block runs; gives its address. A `LabError` for no page, or a taken port."""
    if not (Path(folder) / "sw.js").is_file():
        raise LabError(f"{folder} holds no page. Build it first: python -m helpers phone")
    try:
        server = ThreadingHTTPServer((host, port), partial(_Files, directory=str(folder)))
    except (OSError, OverflowError) as error:
        what = f"Port {port} of {host} cannot be used ({error})"
        raise LabError(f"{what}. Give another one with --port.") from None
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"  # which 0.0.0.0 listens on, too
    finally:
        server.shutdown()
        server.server_close()


def network_address() -> str | None:
    """This machine's address in its local network; None when it has none. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # an address kept for documentation: only its route is looked up
        return probe.getsockname()[0]
    return None


def serve(folder: str | Path, *, port: int, lan: bool) -> None:
    """Serve a folder until Ctrl-C and say how to reach it; with `lan`, from the local network, by QR code.

    Raises LabError: the port is taken, or `lan` is asked for and there is no network.
    """
    outside = network_address() if lan else None
    if lan and outside is None:
        raise LabError("This machine is in no network: no phone can reach it. Leave out --lan.")
    with serving(folder, host="0.0.0.0" if lan else "127.0.0.1", port=port) as address:
        number = address.rstrip("/").rpartition(":")[2]
        print(f"The page: http://localhost:{number}/ (on this machine)", flush=True)
        if outside:
            url, drawn = f"http://{outside}:{number}/", io.StringIO()
            segno.make(url, error="l").terminal(drawn, border=2, compact=True)
            print(f"From a phone in the same network: {url}\n{drawn.getvalue()}\n{LAN_WARNING}", flush=True)
        print(OFFLINE.format(port=number, folder=folder), flush=True)
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
    print("\nThe server has ended.", flush=True)
