"""Shared fixtures: every test writes to a folder of its own."""

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["TRIAGE_STATIC"] = "1"


@pytest.fixture(autouse=True)
def own_build_folder(tmp_path, monkeypatch, request):
    """`build/` of this test; notebook and training tests share the real cache rules but never the reader's cache."""
    monkeypatch.setenv("TRIAGE_BUILD", str(tmp_path / "build"))
    monkeypatch.delenv("TRIAGE_PROFILE", raising=False)
