"""The client against servers that we did not write, and a student's test: the client of notebook 07 alone, in
a fresh folder without `helpers`.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from servers import chats, lines

from helpers import cases, notebooks, processes, teacher
from helpers.export import export
from helpers.files import DATA, LabError

ROWS = cases.write_diverse(60, 0)
PROMPTS = [teacher.triage_prompt(row) for row in ROWS]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def serve(command, url, log):
    """A server's process, once it answers at `url`."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    deadline = time.monotonic() + 120
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            direct.open(url, timeout=5).close()
            return process
        except urllib.error.HTTPError:
            return process
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, log.name
            time.sleep(0.1)


# ------------------------------------------------------------------------------ llama-cpp-python's own server
@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """`python -m llama_cpp.server` with the nano base, on loopback; a key is asked for."""
    folder, port = tmp_path_factory.mktemp("llama"), free_port()
    path = export(DATA / "nano-base", folder / "base.gguf").path
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(path), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--n_ctx", "2048", "--model_alias", "nano", "--api_key", "secret"]
    with (folder / "log").open("wb") as log:
        process = serve(command, f"http://127.0.0.1:{port}/v1/models", log)
        yield f"http://127.0.0.1:{port}/v1"
        process.terminate()
        processes.end(process)


def compatible(url, **more):
    fields = {"base_url": url, "model": "nano", "key": "secret", "max_completion_tokens": 24, "minute": 6}
    return teacher.described("compatible", **fields | more)


def test_a_local_gguf_answers_every_row_and_is_not_asked_again(llama, tmp_path):
    """Answers of the base are cut at so few tokens: they count here as they are only because the judge is
    told to take them.
    """
    few = [[{"role": "user", "content": f"¿Qué hago con la tos? Caso {number}."}] for number in range(6)]
    endpoint = compatible(llama, max_completion_tokens=400, temperature=0.2)
    job = teacher.Client(endpoint, concurrency=2).run(few, tmp_path, label=None)
    assert job.answered + job.failed == 6 and job.left == job.failed and job.answered >= 1
    assert all(answer.text and answer.completion_tokens > 0 for answer in job.answers() if answer)
    again = teacher.Client(endpoint, concurrency=2).run(few, tmp_path, label=None)
    assert again.resumed == job.answered


def test_a_local_server_that_refuses_the_key_or_the_length_is_understood(llama, tmp_path):
    with pytest.raises(LabError, match="key was refused"):
        teacher.Client(compatible(llama, key="guess")).run(chats(3), tmp_path / "key", label=None)
    long = [[{"role": "user", "content": "ay " * 9000}]]
    job = teacher.Client(compatible(llama)).run(long, tmp_path / "long", label=None)
    assert (job.failed, job.requests) == (1, 1)


# ------------------------------------------------------------------------------------- llmock, from the index
@pytest.fixture
def mock(tmp_path):
    """`llmock serve`: a mock of ten providers with scripted faults, and a verdict on the client."""
    beside = Path(sys.executable).with_name("llmock")
    program = str(beside) if beside.exists() else shutil.which("llmock")
    if program is None:
        pytest.skip("llmock is not installed: pip install -e .[dev]")
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = serve(
            [program, "serve", "--port", str(port)], f"http://127.0.0.1:{port}/_llmock/verdict", log
        )
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        processes.end(process)


def talk(url, body=None):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    raw = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=raw, headers={"content-type": "application/json"})
    with direct.open(request, timeout=10) as response:
        return json.loads(response.read())


FAULTS = [
    {"type": "fail", "status": 429, "retry_after": 1, "times": 2},
    {"type": "fail", "status": 500, "times": 3},
    {"type": "fail", "status": 503, "times": 2},
    {"type": "fail", "status": 400, "times": 1},
]


def test_a_mock_server_from_the_index_finds_nothing_wrong_with_the_client(mock, tmp_path):
    talk(f"{mock}/_llmock/scenario", {"behaviors": FAULTS})
    endpoint = compatible(f"{mock}/v1", model="gpt-4o", max_completion_tokens=200, minute=30)
    job = teacher.Client(endpoint, concurrency=4).run(chats(20), tmp_path / "job", label=None)
    assert (job.answered, job.failed) == (19, 1)
    assert job.requests == 20 + 2 + 3 + 2  # the refused row is asked once
    verdict = talk(f"{mock}/_llmock/verdict")
    assert verdict["faults_injected"] == 8 and verdict["errors"] == 0, verdict


@pytest.mark.parametrize(
    ("status", "why"), [(401, "key was refused"), (402, "no credit"), (404, "no such address|not offered")]
)
def test_a_mock_server_that_can_only_refuse_is_asked_once(mock, tmp_path, status, why):
    talk(f"{mock}/_llmock/scenario", {"behaviors": [{"type": "fail", "status": status, "times": None}]})
    endpoint = compatible(f"{mock}/v1", model="gpt-4o")
    with pytest.raises(LabError, match=why):
        teacher.Client(endpoint, concurrency=1).run(chats(5), tmp_path / "job", label=None)


# ------------------------------------------------------------------------------------------- a student's test
MAIN = """
import pathlib, sys
async def main():
    direct = DefaultAsyncHttpxClient(trust_env=False)
    async with AsyncOpenAI(base_url=sys.argv[1], api_key="none", max_retries=0, http_client=direct) as api:
        prompts = json.loads(pathlib.Path("prompts.json").read_text())
        journal = Journal(pathlib.Path("answers.jsonl"))
        await distil(api, "offline-teacher", prompts, journal, 500, minute=float(sys.argv[2]))
        print(len(journal))
asyncio.run(main())
assert "helpers" not in sys.modules
"""


def the_client_of_the_notebook():
    """The cells tagged `client`, in order."""
    chapter = next(one for one in notebooks.PLAN if one.name.startswith("07"))
    cells = [cell for cell in notebooks.read(chapter.path).cells if cell.cell_type == "code"]
    return "\n".join(cell.source for cell in cells if "client" in cell.metadata.get("tags", []))


def test_the_client_of_notebook_07_alone_survives_the_same_server(tmp_path):
    (tmp_path / "mine.py").write_text(the_client_of_the_notebook() + MAIN)
    (tmp_path / "prompts.json").write_text(json.dumps(PROMPTS + PROMPTS[:5]))
    server = {
        "minute": 6,
        "latency": (4, 9),
        "burst": 20,
        "outage": (3, 10),
        "faults": teacher.Faults.storm(0.2),
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with teacher.OfflineTeacher(**server) as offline:
        command = [sys.executable, "mine.py", offline.endpoint.base_url, "6"]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment)
        deadline = time.monotonic() + 60
        while process.poll() is None and offline.stats()["accepted"] < 15 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait()
        early = (tmp_path / "answers.jsonl").read_bytes().count(b"\n")
        with (tmp_path / "answers.jsonl").open("ab") as file:
            file.write(b'{"key": "cut, as by a power')
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        stats = offline.stats()
    assert done.returncode == 0, done.stderr
    rows = lines(tmp_path / "answers.jsonl")
    assert len(rows) == len({row["key"] for row in rows}) == 60 and 0 < early < 60
    assert stats["limited"] < 0.2 * (stats["accepted"] + stats["broken"])
