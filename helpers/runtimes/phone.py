"""The phone's page, built: the app of `phone/` with engine, model and data, as a folder of plain files.

Any static https host will do, and so does `helpers.runtimes.serve`. Levels, numbers, prompt, measured error
and the patterns that read an answer come from `data/` and `helpers.triage`; only the words for which nobody
should wait (`phone/redflags.js`) stand in the app.
"""

import json
import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from helpers.cases import Example, evaluation_prompts
from helpers.export import read_header
from helpers.files import DATA, LabError, fingerprint, read_json, sha256_of, write_atomic, write_json, writing
from helpers.runtimes import npm
from helpers.train import current_profile
from helpers.triage import LEVEL_HEADING, RUBRIC, SCALE, countries, reader_in_javascript

PAGE = DATA.with_name("phone")
SELF_TEST = 24  # questions of a page's self-test
PIECE = 16 << 20  # bytes of a model that are hashed at once: a browser hashes only what it holds in memory
ENGINE = {
    npm.WLLAMA: {
        "wllama.js": "esm/index.min.js",
        "wllama.wasm": "esm/wasm/wllama.wasm",
        "LICENCE": "LICENCE",
    },
    npm.WLLAMA_COMPAT: {"compat.js": "wasm/wllama.js", "compat.wasm": "wasm/wllama.wasm"},
}


def build(
    *ggufs: str | Path,
    out: str | Path,
    examples: Sequence[Example] | None = None,
    max_new_tokens: int | None = None,
    stage: str = "",
) -> Path:
    """Make the folder anew. Models are linked where the disk allows it, not copied.

    Args:
        ggufs: the model, and smaller files of it for a device on which the first one fails; with none, the
            page asks its reader for a file.
        out: the folder; what this function made there before is replaced.
        examples, max_new_tokens: of the self-test and of every answer (default: development prompts, the
            profile's).
        stage: the stage that the model is; only a measured one's errors stand on the page.

    Raises LabError: a GGUF damaged or without chat template, an engine that cannot be had, or a full disk.
    """
    out, profile, headers = Path(out), current_profile(), [read_header(Path(path)) for path in ggufs]
    if mute := [str(header.path) for header in headers if not header.chat_template]:
        raise LabError(f"{mute[0]} carries no chat template: the page could not ask it. Export it again.")
    files = engine()
    if out.exists() and not (out / "sw.js").is_file() and any(out.iterdir()):
        raise LabError(f"{out} holds something else than a phone's page. Give an empty folder.")
    limit = max_new_tokens or profile.generate["max_new_tokens"]
    with writing(out):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(PAGE, out, ignore=shutil.ignore_patterns("*.md"))
        models = [_model(one.path, out / f"model-{rank}.gguf") for rank, one in enumerate(headers)]
    for path, raw in files.items():
        write_atomic(out / path, raw)
    config = {"models": models, "context": profile.max_length + limit, "maxNewTokens": limit}
    kept = {path.name for path in PAGE.iterdir() if path.suffix in (".html", ".css", ".js")} - {"sw.js"}
    config["files"] = sorted(kept)  # what has to be in the cache before the page promises to work offline
    write_json(out / "config.json", config | from_data(stage))
    write_json(out / "selftest.json", self_test(examples, limit))
    _stamp(out, [model["file"] for model in models])
    return out


def engine() -> dict[str, bytes]:
    """The engine's files by their place in the page; fetched if they never were."""
    packages = {package: npm.files(package, tuple(inner.values())) for package, inner in ENGINE.items()}
    return {f"engine/{to}": packages[p][of] for p, inner in ENGINE.items() for to, of in inner.items()}


def _model(source: Path, target: Path) -> dict[str, Any]:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one that has no links
        shutil.copyfile(source, target)
    with target.open("rb") as stream:
        pieces = [sha256(piece).hexdigest() for piece in iter(lambda: stream.read(PIECE), b"")]
    facts = {"name": source.stem, "file": target.name, "bytes": target.stat().st_size}
    return facts | {"sha256": sha256_of(target), "pieceBytes": PIECE, "pieces": pieces}


def self_test(examples: Sequence[Example] | None, max_new_tokens: int) -> dict[str, Any]:
    """The questions of a self-test, as the page reads them; development prompts if none are given."""
    rows = random.Random(0).sample(evaluation_prompts("dev"), SELF_TEST) if examples is None else examples
    items = [{"id": str(i), "messages": r.prompt, "heading": f"{LEVEL_HEADING} "} for i, r in enumerate(rows)]
    return {"format": 1, "max_new_tokens": max_new_tokens, "items": items}


def from_data(stage: str = "") -> dict[str, Any]:
    """What the page takes from `data/` and from `helpers.triage`, with the measured errors of this stage."""
    return {
        "levels": {key: asdict(level) for key, level in SCALE.items()},
        "countries": {
            code: {**asdict(row), "services": dict(row.services), "numbers": row.numbers}
            for code, row in countries().items()
        },
        "measured": measured(stage),
        "prompt": {"system": RUBRIC["system"], "user": RUBRIC["user"]},
        "engine": npm.WLLAMA.version,
        "reader": reader_in_javascript(),
    }


def measured(stage: str) -> dict[str, Any] | None:
    """How often a stage of this profile erred on the vignettes; None for one that was not measured."""
    if stage != "sft-balanced":  # the only one that answers people on the page
        return None
    path = DATA / "results" / f"{current_profile().name}.json"
    known = read_json(path).get("measurements", {}) if path.is_file() else {}
    names = {"accuracy": "accuracy", "missedUrgency": "missed_urgency"}
    rows = {name: known.get(f"balanced.{key}.vignettes") for name, key in names.items()}
    if None in rows.values():
        return None
    return {name: {part: row[part] for part in ("value", "low", "high", "n")} for name, row in rows.items()}


def _stamp(out: Path, models: list[str]) -> None:
    """Write into the service worker what it keeps; any file's change makes another name, a new cache."""
    worker = out / "sw.js"
    kept = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}
    version = fingerprint({name: sha256_of(path) for name, path in kept.items()})
    sizes = {name: path.stat().st_size for name, path in kept.items() if path != worker}
    stamp = json.dumps({"version": version, "models": models, "files": sizes})
    write_atomic(worker, worker.read_text(encoding="utf-8").replace("/* BUILD */ null", stamp, 1))
