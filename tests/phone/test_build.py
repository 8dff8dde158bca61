"""The phone, from this side of the screen: the folder, its server, the command, and what is refused."""

import hashlib
import json
import os
import re
import shutil
import sys
import urllib.error
import urllib.request

import pytest

from helpers import __main__
from helpers.cases import evaluation_prompts
from helpers.export import export
from helpers.files import DATA, LabError, read_json, sha256_of, write_json
from helpers.runtimes import phone, serve
from helpers.train import current_profile
from helpers.triage import SCALE, countries, messages


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    return export(DATA / "nano-base", tmp_path_factory.mktemp("gguf") / "base.gguf", "Q5_K_M").path


@pytest.fixture(scope="module")
def folder(gguf, tmp_path_factory, engine, shared_build):
    """Read only."""
    with shared_build():
        return phone.build(gguf, out=tmp_path_factory.mktemp("phone") / "site")


@pytest.fixture(scope="module")
def get(folder):
    """Ask the page's server for a path: status, headers, content."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def asked(path, method="GET", **headers):
        request = urllib.request.Request(address + path, method=method, headers=headers)
        try:
            with direct.open(request, timeout=10) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.headers, b""

    with serve.serving(folder) as address:
        yield asked


def test_the_folder_holds_page_engine_model_and_what_the_data_say(folder, gguf):
    config = read_json(folder / "config.json")
    (model,) = config["models"]
    assert (model["name"], model["file"], model["bytes"]) == ("base", "model-0.gguf", gguf.stat().st_size)
    raw = gguf.read_bytes()
    assert (
        model["sha256"] == hashlib.sha256(raw).hexdigest()
        and b"".join(raw[at : at + phone.PIECE] for at in range(0, len(raw), phone.PIECE)) == raw
    )
    assert model["pieces"] == [hashlib.sha256(raw).hexdigest()], "a small file is one piece"
    assert sha256_of(folder / "model-0.gguf") == sha256_of(gguf)
    assert {code: tuple(row["numbers"]) for code, row in config["countries"].items()} == {
        c: r.numbers for c, r in countries().items()
    }
    for code, row in countries().items():
        land = config["countries"][code]
        assert (tuple(land["services"].items()), land["place"], land["call"], land["crisis_line"]) == (
            row.services,
            row.place,
            row.call,
            row.crisis_line,
        )
    assert {
        key: (row["name"], row["action"], row["call_first"], row["color"])
        for key, row in config["levels"].items()
    } == {key: (level.name, level.action, level.call_first, level.color) for key, level in SCALE.items()}
    profile = current_profile()
    longest = profile.generate["max_new_tokens"]
    assert config["maxNewTokens"] == longest and config["context"] == profile.max_length + longest
    for path in ("wllama.js", "wllama.wasm", "compat.js", "compat.wasm", "LICENCE"):
        assert (folder / "engine" / path).stat().st_size > 500, path
    assert (
        (folder / "engine" / "wllama.wasm").read_bytes()[:4]
        == (folder / "engine" / "compat.wasm").read_bytes()[:4]
        == b"\0asm"
    )


def test_the_measured_error_is_that_of_the_results_file_and_none_while_something_is_missing(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(phone, "DATA", tmp_path)
    assert phone.measured("sft-balanced") is None
    rate = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 80}
    rows = {f"balanced.{name}.vignettes": {**rate, "seeds": 1} for name in ("accuracy", "missed_urgency")}
    for known, said in (
        ({}, None),
        (dict([*rows.items()][:1]), None),
        (rows, {"accuracy": rate, "missedUrgency": rate}),
    ):
        write_json(tmp_path / "results" / "nano.json", {"measurements": known})
        assert phone.measured("sft-balanced") == phone.from_data("sft-balanced")["measured"] == said
    for other in ("", "sft-imbalanced", "somebody's.gguf"):
        assert phone.measured(other) is None, "a model wore another one's figures"
    monkeypatch.setenv("TRIAGE_PROFILE", "gpu")
    assert phone.measured("sft-balanced") is None, "another profile's numbers were shown"


def test_every_icon_and_file_that_the_page_names_is_there(folder):
    named = re.findall(r'(?:href|src)="([^"#]+)"', (folder / "index.html").read_text())
    icons = read_json(folder / "manifest.webmanifest")["icons"]
    for name in [*named, *(icon["src"] for icon in icons)]:
        assert (folder / name).is_file(), name
    for size in (180, 192, 512):
        png = (folder / f"icon-{size}.png").read_bytes()
        assert png[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(png[16:20], "big") == size


def test_the_self_test_asks_development_prompts_in_the_words_of_every_other_runtime(
    folder, gguf, tmp_path, npm_archives
):
    test = read_json(folder / "selftest.json")
    known = [row.prompt for row in evaluation_prompts("dev")]
    assert len(test["items"]) == phone.SELF_TEST >= 24 and test["format"] == 1
    assert all(
        item["messages"] in known and item["heading"] == "Nivel de Urgencia: " for item in test["items"]
    )
    given = evaluation_prompts("dev")[:2]
    own = read_json(
        phone.build(gguf, out=tmp_path / "own", examples=given, max_new_tokens=7) / "selftest.json"
    )
    assert own["max_new_tokens"] == 7 and [item["messages"] for item in own["items"]] == [
        messages(row.text, row.country) for row in given
    ]


def test_the_cache_has_another_name_exactly_when_a_file_is_another(folder, gguf, tmp_path, npm_archives):
    def stamp(place):
        return json.loads(re.search(r"BUILD = (\{.*\});", (place / "sw.js").read_text())[1])

    first = stamp(folder)
    assert first["files"] == {
        p.relative_to(folder).as_posix(): p.stat().st_size
        for p in folder.rglob("*")
        if p.is_file() and p.name != "sw.js"
    }
    again = phone.build(gguf, out=tmp_path / "again")
    assert stamp(again) == first
    other = export(DATA / "nano-base", tmp_path / "base.gguf", "Q2_K").path
    assert stamp(phone.build(other, out=again))["version"] != first["version"]  # over what was there
    assert sha256_of(again / "model-0.gguf") == sha256_of(other)


def test_the_page_asks_no_other_host_and_builds_no_markup_from_text():
    for path in (path for path in phone.PAGE.iterdir() if path.suffix not in (".png", ".md")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
        ), path


def test_the_page_says_at_all_times_what_it_is_not():
    page = (phone.PAGE / "index.html").read_text(encoding="utf-8")
    footer, header = (
        re.search(rf"<{part}>.*?</{part}>", page, re.DOTALL)[0] for part in ("footer", "header")
    )
    assert (
        "No es un producto sanitario" in footer
        and "no sustituye a un profesional" in footer
        and "Si duda, llame" in header
    )
    style = (phone.PAGE / "style.css").read_text(encoding="utf-8")
    assert re.search(r"^footer \{ position: sticky", style, re.MULTILINE) and re.search(
        r"^header \{ position: sticky", style, re.MULTILINE
    )


def test_a_damaged_model_is_refused_before_anything_is_built(gguf, tmp_path, npm_archives):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf.read_bytes()[:-1000])
    with pytest.raises(LabError, match="not a whole GGUF"):
        phone.build(cut, out=tmp_path / "site")
    with pytest.raises(LabError, match="cannot be read"):
        phone.build(tmp_path / "none.gguf", out=tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_model_without_a_template_is_refused(gguf, tmp_path, monkeypatch):
    monkeypatch.setattr(
        phone, "read_header", lambda path: type("Header", (), {"chat_template": "", "path": path})()
    )
    with pytest.raises(LabError, match="no chat template"):
        phone.build(gguf, out=tmp_path / "site")


def test_a_folder_of_somebody_elses_is_not_emptied(gguf, tmp_path, npm_archives):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(LabError, match="something else"):
        phone.build(gguf, out=tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.tex").exists()


def test_every_file_comes_whole_and_with_its_type(get, folder):
    types = {
        ".js": "text/javascript",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
        ".html": "text/html",
    }
    for path in (path for path in folder.rglob("*") if path.is_file()):
        status, headers, raw = get(path.relative_to(folder).as_posix())
        assert status == 200 and len(raw) == path.stat().st_size, path
        assert headers["content-type"].startswith(types.get(path.suffix, "")), path
    assert get("")[2] == (folder / "index.html").read_bytes()


def test_a_file_that_has_not_changed_is_not_sent_again(get):
    _, headers, _ = get("model-0.gguf")
    assert get("model-0.gguf", **{"If-Modified-Since": headers["last-modified"]})[::2] == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "../site/sw.js",
        "%2e%2e/%2e%2e/etc/passwd",
        "engine",
        "engine/",
        "..%5csite",
        "//etc/passwd",
    ],
)
def test_nothing_outside_the_folder_is_shown(get, path):
    assert get(path)[0] in (301, 404) and not get(path)[2]


def test_the_server_only_shows(get):
    assert get("", method="HEAD")[0] == 200
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert get("config.json", method=method)[0] == 501


def test_it_listens_on_loopback_unless_told_otherwise_and_is_gone_afterwards(folder):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with serve.serving(folder) as address:
        assert address.startswith("http://127.0.0.1:")
        assert b"Orientaci" in direct.open(address, timeout=10).read()
        port = int(address.rstrip("/").rpartition(":")[2])
        with pytest.raises(LabError, match="Port"), serve.serving(folder, port=port):
            pass
    with pytest.raises(urllib.error.URLError):
        direct.open(address, timeout=2)


def test_a_folder_that_was_not_built_is_refused(tmp_path):
    with pytest.raises(LabError, match="holds no page"), serve.serving(tmp_path):
        pass


def test_the_page_itself_forbids_foreign_code_and_foreign_hosts(folder):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', (folder / "index.html").read_text())[1]
    assert "default-src 'none'" in policy and "script-src 'self' 'wasm-unsafe-eval';" in policy
    assert "unsafe-inline" not in policy and "http" not in policy


def _ctrl_c(*_):
    raise KeyboardInterrupt


def test_the_command_says_where_the_page_is_and_what_offline_needs(folder, monkeypatch, capsys):
    monkeypatch.setattr(serve.time, "sleep", _ctrl_c)
    serve.serve(folder, port=0, lan=False)
    said = capsys.readouterr().out
    assert (
        re.search(r"http://localhost:\d+/", said)
        and "adb reverse" in said
        and "https" in said
        and "trust" not in said
    )


def test_the_local_network_gets_a_qr_code_and_a_warning(folder, monkeypatch, capsys):
    monkeypatch.setattr(serve.time, "sleep", _ctrl_c)
    monkeypatch.setattr(serve, "network_address", lambda: "192.0.2.7")
    serve.serve(folder, port=0, lan=True)
    said = capsys.readouterr().out
    assert (
        re.search(r"http://192\.0\.2\.7:\d+/", said)
        and "▄" in said
        and "network that you trust" in said
        and "keeps nothing" in said
    )


def test_without_a_network_the_flag_says_so(folder, monkeypatch):
    monkeypatch.setattr(serve, "network_address", lambda: None)
    with pytest.raises(LabError, match="in no network"):
        serve.serve(folder, port=0, lan=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.gguf"], "cannot be read"),
        (["sft-balancd"], "There is no stage or folder"),
        (["base", "--quant", "Q9"], "no quantization 'Q9'"),
    ],
)
def test_a_wrong_model_or_step_is_one_message(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["helpers", "phone", *arguments])
    assert __main__.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("✗ ") and message in said


def _no_link(*_):
    raise OSError("no links here")


@pytest.mark.skipif(os.name == "nt", reason="no such links")
def test_the_model_is_linked_and_not_copied_where_the_disk_allows_it(folder, gguf):
    if gguf.stat().st_dev != folder.stat().st_dev:
        pytest.skip("two disks")
    assert gguf.samefile(folder / "model-0.gguf")


def test_where_links_are_not_to_be_had_the_model_is_copied(gguf, tmp_path, npm_archives, monkeypatch):
    monkeypatch.setattr(phone.os, "link", _no_link)
    built = phone.build(gguf, out=tmp_path / "site")
    assert not gguf.samefile(built / "model-0.gguf") and sha256_of(built / "model-0.gguf") == sha256_of(gguf)
    shutil.rmtree(built)
