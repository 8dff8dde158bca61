"""The phone, from this side of the screen: the folder, the server, the pinned packages, and what is refused."""

import io
import json
import os
import re
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from helpers import __main__
from helpers.cases import evaluation_prompts
from helpers.export import export
from helpers.files import DATA, LabError, read_json, sha256_of, write_json
from helpers.runtimes import browser, npm, phone
from helpers.train import current_profile
from helpers.triage import SCALE, countries, messages


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    return export(DATA / "nano-base", tmp_path_factory.mktemp("gguf") / "base.gguf", "Q5_K_M", threads=1).path


@pytest.fixture(scope="module")
def folder(gguf, tmp_path_factory, engine, shared_build):
    """Read only."""
    with shared_build():
        return phone.build(gguf, tmp_path_factory.mktemp("phone") / "site")


@pytest.fixture
def client(folder):
    return TestClient(phone.app(folder))


# ------------------------------------------------------------------------------------------------------- the folder
def test_the_folder_holds_page_engine_model_and_what_the_data_say(folder, gguf):
    config = read_json(folder / "config.json")
    assert config["model"] == {
        "name": "base",
        "file": "model.gguf",
        "bytes": gguf.stat().st_size,
        "sha256": sha256_of(gguf),
    }
    assert sha256_of(folder / "model.gguf") == sha256_of(gguf)
    assert {code: tuple(row["numbers"]) for code, row in config["countries"].items()} == {
        c: r.numbers for c, r in countries().items()
    }
    for code, row in countries().items():
        land = config["countries"][code]
        assert (tuple(land["services"].items()), land["place"], land["call"], land["crisisLine"]) == (
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
    for path in phone.ENGINES:
        assert (folder / path).stat().st_size > 500, path
    assert (
        (folder / "engine" / "wllama.wasm").read_bytes()[:4]
        == (folder / "engine" / "compat.wasm").read_bytes()[:4]
        == b"\0asm"
    )


def test_the_measured_error_is_that_of_the_results_file_and_none_while_something_is_missing(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(phone, "DATA", tmp_path)
    assert phone.measured() is None
    rate = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 80}
    rows = {f"balanced.{name}.vignettes": {**rate, "seeds": 1} for name in ("accuracy", "missed_urgency")}
    for known, said in (
        ({}, None),
        (dict([*rows.items()][:1]), None),
        (rows, {"accuracy": rate, "missedUrgency": rate}),
    ):
        write_json(tmp_path / "results" / "nano.json", {"measurements": known})
        assert phone.measured() == phone._config({}, 1, 1)["measured"] == said
    monkeypatch.setenv("TRIAGE_PROFILE", "gpu")
    assert phone.measured() is None, "another profile's numbers were shown"


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
    own = read_json(phone.build(gguf, tmp_path / "own", examples=given, max_new_tokens=7) / "selftest.json")
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
    again = phone.build(gguf, tmp_path / "again")
    assert stamp(again) == first
    other = export(DATA / "nano-base", tmp_path / "base.gguf", "Q2_K", threads=1).path
    assert stamp(phone.build(other, again))["version"] != first["version"]  # over what was there
    assert sha256_of(again / "model.gguf") == sha256_of(other)


def test_the_page_asks_no_other_host_and_builds_no_markup_from_text():
    for path in phone.PAGE.iterdir():
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


def test_the_ink_on_every_level_can_be_read():
    def luminance(color):
        channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for level in phone._config({}, 1, 1)["levels"].values():
        light, dark = sorted((luminance(level["color"]), luminance(level["ink"])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, level["key"]


def test_a_damaged_model_is_refused_before_anything_is_built(gguf, tmp_path, npm_archives):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf.read_bytes()[:-1000])
    with pytest.raises(LabError, match="not a whole GGUF"):
        phone.build(cut, tmp_path / "site")
    with pytest.raises(LabError, match="cannot be read"):
        phone.build(tmp_path / "none.gguf", tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_model_without_a_template_is_refused(gguf, tmp_path, monkeypatch):
    monkeypatch.setattr(
        phone, "read_header", lambda path: type("Header", (), {"chat_template": "", "metadata": {}})()
    )
    with pytest.raises(LabError, match="no chat template"):
        phone.build(gguf, tmp_path / "site")


def test_a_folder_of_somebody_elses_is_not_emptied(gguf, tmp_path, npm_archives):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(LabError, match="something else"):
        phone.build(gguf, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.tex").exists()


# ------------------------------------------------------------------------------------------------------- the server
def test_every_file_comes_with_its_type_and_the_headers_that_threads_and_safety_need(client, folder):
    for path in [*(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()), ""]:
        answer = client.get(f"/{path}")
        assert answer.status_code == 200, path
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert (
            "default-src 'none'" in policy
            and "script-src 'self' 'wasm-unsafe-eval';" in policy
            and "unsafe-inline" not in policy
        )
        assert answer.headers["content-type"].startswith(
            phone.TYPES.get(Path(path or "x.html").suffix, "text/plain")
        )
        assert len(answer.content) == (folder / (path or "index.html")).stat().st_size


def test_a_file_that_has_not_changed_is_not_sent_again(tmp_path):
    (tmp_path / "sw.js").touch()
    (tmp_path / "model.gguf").write_bytes(b"one")
    client = TestClient(phone.app(tmp_path))
    first = client.get("/model.gguf")
    again = client.get("/model.gguf", headers={"If-None-Match": first.headers["etag"]})
    assert (
        again.status_code == 304
        and not again.content
        and again.headers["cross-origin-embedder-policy"] == "require-corp"
    )
    (tmp_path / "model.gguf").write_bytes(b"another")
    assert client.get("/model.gguf", headers={"If-None-Match": first.headers["etag"]}).content == b"another"


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
def test_nothing_outside_the_folder_is_shown(client, path):
    answer = client.get(f"/{path}")
    assert answer.status_code == 404 and answer.headers["x-content-type-options"] == "nosniff"


def test_the_server_only_shows(client):
    assert client.head("/").status_code == 200
    for method in ("post", "put", "delete", "patch"):
        assert getattr(client, method)("/config.json").status_code == 405


def test_it_listens_on_loopback_unless_told_otherwise_and_is_gone_afterwards(folder):
    import urllib.error
    import urllib.request

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with phone.serving(folder) as address:
        assert address.startswith("http://127.0.0.1:")
        assert b"Orientaci" in direct.open(address, timeout=10).read()
        with (
            pytest.raises(LabError, match="Port"),
            phone.serving(folder, port=int(address.rstrip("/").rpartition(":")[2])),
        ):
            pass
    with pytest.raises(urllib.error.URLError):
        direct.open(address, timeout=2)


def test_a_folder_that_was_not_built_is_refused(tmp_path):
    with pytest.raises(LabError, match="holds no page"):
        phone.app(tmp_path)


# ------------------------------------------------------------------------------------------------------- the command
def _ctrl_c(_):
    raise KeyboardInterrupt


def test_the_command_says_where_the_page_is_and_what_offline_needs(folder, monkeypatch, capsys):
    monkeypatch.setattr(phone.time, "sleep", _ctrl_c)
    phone.serve(folder, port=0, lan=False)
    said = capsys.readouterr().out
    assert (
        re.search(r"http://localhost:\d+/", said)
        and "adb reverse" in said
        and "https" in said
        and "trust" not in said
    )


def test_the_local_network_gets_a_qr_code_and_a_warning(folder, monkeypatch, capsys):
    monkeypatch.setattr(phone.time, "sleep", _ctrl_c)
    monkeypatch.setattr(phone, "network_address", lambda: "192.0.2.7")
    phone.serve(folder, port=0, lan=True)
    said = capsys.readouterr().out
    assert (
        re.search(r"http://192\.0\.2\.7:\d+/", said)
        and "▄" in said
        and "network that you trust" in said
        and "keeps nothing" in said
    )


def test_without_a_network_the_flag_says_so(folder, monkeypatch):
    monkeypatch.setattr(phone, "network_address", lambda: None)
    with pytest.raises(LabError, match="in no network"):
        phone.serve(folder, port=0, lan=True)


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


# ------------------------------------------------------------------------------------------------------- pinned packages
def _archive(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def package():
    """A package whose pin is that of this archive, and the archive."""
    import base64
    import hashlib

    raw = _archive({"package/a.js": b"1", "../../escape.js": b"2"})
    return npm.Package("@x/y", "1.0.0", base64.b64encode(hashlib.sha512(raw).digest()).decode()), raw


def _refuse(package):
    """nowhere"""
    raise OSError("no network")


def test_what_is_not_the_pinned_archive_is_never_used(package, monkeypatch, tmp_path):
    wanted, raw = package
    monkeypatch.setattr(npm, "_by_npm", lambda _: raw + b"x")
    monkeypatch.setattr(npm, "_by_hand", _refuse)
    with pytest.raises(
        LabError, match=r"could not be fetched.*SHA-512 differs.*no network.*Connect to the network once"
    ):
        npm.files(wanted, ("a.js",))
    assert not list((tmp_path / "build").rglob("*.tgz"))


def test_where_npm_fails_the_registry_is_asked_and_the_archive_is_kept(package, monkeypatch):
    wanted, raw = package
    monkeypatch.setattr(npm, "_by_npm", _refuse)
    monkeypatch.setattr(npm, "_by_hand", lambda _: raw)
    assert npm.files(wanted, ("a.js",)) == {"a.js": b"1"}
    monkeypatch.setattr(npm, "_by_hand", _refuse)
    assert npm.files(wanted, ("a.js",)) == {"a.js": b"1"}


def test_a_damaged_archive_is_fetched_again(package, monkeypatch, tmp_path):
    wanted, raw = package
    monkeypatch.setattr(npm, "_by_npm", lambda _: raw)
    npm.files(wanted, ())
    kept = tmp_path / "build" / "npm" / "x-y-1.0.0.tgz"
    kept.write_bytes(raw[:50])
    assert npm.files(wanted, ("a.js",)) == {"a.js": b"1"} and kept.read_bytes() == raw


def test_only_named_files_are_read_and_none_is_unpacked(package, monkeypatch, tmp_path):
    wanted, raw = package
    monkeypatch.setattr(npm, "_by_npm", lambda _: raw)
    npm.files(wanted, ("a.js",))
    assert not list(tmp_path.parent.rglob("escape.js"))
    with pytest.raises(LabError, match=r"holds no b\.js"):
        npm.files(wanted, ("a.js", "b.js"))


def test_without_npm_its_absence_is_part_of_the_message(package, monkeypatch):
    monkeypatch.setattr(npm.shutil, "which", lambda _: None)
    monkeypatch.setattr(npm.urllib.request, "urlopen", lambda *_, **__: _refuse(None))
    with pytest.raises(LabError, match=r"npm pack: npm is not installed; the registry: no network"):
        npm.files(package[0], ())


@pytest.mark.parametrize("package", [npm.WLLAMA, npm.WLLAMA_COMPAT], ids=lambda package: package.name)
def test_both_ways_lead_to_the_pinned_archive(package, npm_archives, monkeypatch):
    """The engine was fetched in one way; here the other one too, where there is a network."""
    try:
        raw = npm._by_hand(package)
    except OSError as reason:
        pytest.skip(f"the registry cannot be reached: {reason}")
    assert package.whole(raw)


# ------------------------------------------------------------------------------------------------------- finding a browser
def test_without_a_browser_the_message_says_how_to_get_one(monkeypatch):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(browser.shutil, "which", lambda _: None)
    with pytest.raises(LabError, match=r"no Chromium, Chrome or Edge.*Install it"):
        browser.Browser("model.gguf")
    monkeypatch.setenv("CHROMIUM", "/nowhere/chrome")
    with pytest.raises(LabError, match="CHROMIUM is set to /nowhere/chrome"):
        browser.find_chromium()


@pytest.mark.skipif(os.name == "nt", reason="no such links")
def test_the_model_is_linked_and_not_copied_where_the_disk_allows_it(folder, gguf):
    if gguf.stat().st_dev != folder.stat().st_dev:
        pytest.skip("two disks")
    assert gguf.samefile(folder / "model.gguf")


def test_where_links_are_not_to_be_had_the_model_is_copied(gguf, tmp_path, npm_archives, monkeypatch):
    monkeypatch.setattr(phone.os, "link", lambda *_: _refuse(None))
    built = phone.build(gguf, tmp_path / "site")
    assert not gguf.samefile(built / "model.gguf") and sha256_of(built / "model.gguf") == sha256_of(gguf)
    shutil.rmtree(built)
