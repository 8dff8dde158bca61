"""Pinned packages and the browser: fetched, checked, or refused in one message."""

import io
import tarfile
from http.client import IncompleteRead

import pytest

from helpers.files import LabError
from helpers.runtimes import browser, npm


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


def test_a_download_that_breaks_off_is_one_message(package, monkeypatch):
    def breaks(_):
        raise IncompleteRead(b"1")

    monkeypatch.setattr(npm, "_by_npm", _refuse)
    monkeypatch.setattr(npm, "_by_hand", breaks)
    with pytest.raises(LabError, match="IncompleteRead"):
        npm.files(package[0], ("a.js",))


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


def test_without_a_browser_the_message_says_how_to_get_one(monkeypatch):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(browser.shutil, "which", lambda _: None)
    with pytest.raises(LabError, match=r"no Chromium, Chrome or Edge.*Install it"):
        browser.Browser("model.gguf")
    monkeypatch.setenv("CHROMIUM", "/nowhere/chrome")
    with pytest.raises(LabError, match="CHROMIUM is set to /nowhere/chrome"):
        browser.find_chromium()
