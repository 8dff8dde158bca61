"""A reader's own cases and gates, before a folder, a file or an endpoint."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import __main__ as command_line
from helpers.evaluate import gates
from helpers.files import LabError
from helpers.runtimes import own

CASES = [("it broke", "refund"), ("where is it", "delivery|refund"), ("thanks", "praise")]


@pytest.fixture
def cases(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in CASES))
    return str(path)


class Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible server: one model, which says `said`, or fails with `status`."""

    said, status, seen = "Refund.", 200, []

    def do_GET(self):
        self._send(200, {"object": "list", "data": [{"id": "theirs", "object": "model"}]})

    def do_POST(self):
        type(self).seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        message = {"role": "assistant", "content": self.said}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "theirs", "choices": [choice]}
        self._send(
            self.status, whole if self.status == 200 else {"error": {"message": "key sk-secret is bad"}}
        )

    def _send(self, status, content):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    made = type("Made", (Endpoint,), {"seen": []})
    server = HTTPServer(("127.0.0.1", 0), made)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", made
    server.shutdown()


def test_a_label_is_read_as_whole_words_and_the_first_one_counts():
    labels = ["red", "red alert", "blue"]
    assert own.read_label("Level: RED alert, not blue", labels) == "red alert"
    assert own.read_label("It hurt, I am tired and reduced", labels) is None
    assert own.read_label("blue, later red", labels) == "blue"


@given(st.text(), st.sampled_from(["red", "C++", "(a)"]))
def test_whatever_stands_before_a_label_the_label_is_read(text, label):
    assert own.read_label(f"{label} {text}", [label]) == label


def test_several_right_labels_are_accepted_and_each_gate_looks_at_its_own_thing(cases, tmp_path):
    known = own.read_cases(cases)
    assert known[1].accepted == ("delivery", "refund")
    rows = {
        "said": {"says": "…", "measure": "matches ^R", "at_least": 0.5, "why": "…"},
        "label": {"says": "…", "measure": "accepted", "at_least": 0.5, "why": "…"},
        "praise": {"says": "…", "measure": "missed praise", "at_most": 0.5, "why": "…"},
        "readable": {"says": "…", "measure": "readable", "at_least": 0.5, "why": "…"},
    }
    (tmp_path / "gates.yaml").write_text(json.dumps(rows))  # JSON is YAML
    asked = gates.load_gates(tmp_path / "gates.yaml", own.MEASURES)
    report = own.judge(known, ["Refund it is", "refund", "no idea"], asked, "mine")
    assert [round(row.rate.value * row.rate.n) for row in report.rows] == [1, 2, 1, 2]
    assert [row.rate.n for row in report.rows] == [3, 3, 1, 3]


def test_an_unknown_measure_and_a_case_without_a_label_are_one_message_each(tmp_path):
    bad = tmp_path / "gates.yaml"
    bad.write_text("a: {says: x, measure: beauty, at_least: 0.5, why: x}\n")
    with pytest.raises(LabError, match=r"unknown measure 'beauty'.*accepted, readable, missed, matches"):
        gates.load_gates(bad, own.MEASURES)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": ""}\n')
    with pytest.raises(LabError, match="row 2: no label"):
        own.read_cases(str(rows))


def test_the_command_judges_an_endpoint_and_its_exit_code_is_the_verdict(
    monkeypatch, capsys, cases, endpoint, tmp_path
):
    url, server = endpoint
    mild = tmp_path / "gates.yaml"
    mild.write_text("label: {says: x, measure: accepted, at_least: 0.1, why: x}\n")
    monkeypatch.setattr("sys.argv", ["helpers", "gate", url, "--cases", cases, "--gates", str(mild)])
    assert command_line.main() == 0
    assert "66.7%" in capsys.readouterr().out
    assert [one["messages"][-1]["content"] for one in server.seen] == [text for text, _ in CASES]
    assert {one["model"] for one in server.seen} == {"theirs"} and server.seen[0]["temperature"] == 0
    assert server.seen[0]["repeat_penalty"] == 1.0, "a server's own penalty would change what is judged"
    monkeypatch.setattr("sys.argv", ["helpers", "gate", url, "--cases", cases])
    assert command_line.main() == 1


def test_a_hosted_endpoint_is_asked_nothing_that_is_not_in_the_protocol(monkeypatch, endpoint):
    url, server = endpoint
    made = openai.OpenAI
    monkeypatch.setattr(openai, "OpenAI", lambda base_url, **how: made(base_url=url, **how))
    assert own.answer("https://api.example/v1", [own.Case([{"role": "user", "content": "hi"}], ("a",))]) == [
        "Refund."
    ]
    assert set(server.seen[0]) == {"messages", "model", *own.GREEDY} | {"max_tokens"}


def test_a_failing_endpoint_is_one_message_that_does_not_tell_the_key(monkeypatch, cases, endpoint):
    url, server = endpoint
    server.status = 401
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(LabError, match=r"refused a request \(status 401\)") as caught:
        own.check(url, cases)
    assert "sk-secret" not in str(caught.value)


def test_a_file_that_is_no_gguf_is_refused_before_llama_cpp_sees_it(tmp_path, cases):
    broken = tmp_path / "model.gguf"
    broken.write_bytes(b"GGUF" + bytes(20))
    with pytest.raises(LabError):
        own.check(str(broken), cases)
