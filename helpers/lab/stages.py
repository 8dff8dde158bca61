"""The stage cache: every trained thing is built once, checked every time, and named by what went into it.

The key is a hash of recipe, data, base, settings and library versions. A folder appears by atomic rename and carries a manifest with
checksums; a damaged one is rebuilt with a message. A stage whose profile saves checkpoints resumes from the last one.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock

from helpers.cases import Example
from helpers.evaluate import label_probabilities
from helpers.files import (
    LabError,
    build_dir,
    explain_os_error,
    fingerprint,
    read_json,
    sha256_of,
    write_json,
    writing,
)
from helpers.recipes import BASE, Recipe, recipe_named
from helpers.train import Profile, current_profile

MANIFEST = "manifest.json"
LIBRARIES = ("torch", "transformers", "trl", "peft")


@dataclass(frozen=True, repr=False)
class Stage:
    """A trained model on disk with the record of how it came about. `str(stage)` is its folder, so it can be passed as a model."""

    name: str
    seed: int
    key: str
    path: Path
    why: str
    training: dict[str, Any]

    def __repr__(self) -> str:
        return f"Stage({self.name!r}, seed={self.seed}, key={self.key!r})"  # no path: outputs are committed

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def _repr_markdown_(self) -> str:
        record = self.training
        return (
            f"**{self.name}** (seed {self.seed}): {self.why}. {record['rows']:,} rows × {record['epochs']:.3g} epochs, "
            f"{record['steps']:,} steps, {record['seconds']:.0f} s of training. Recipe: `helpers/recipes/`, key `{self.key}`."
        )


def base_model(profile: Profile | None = None) -> str:
    """The base every recipe starts from, as `evaluate` and `train` want it."""
    return (profile or current_profile()).base


def _base_fingerprint(profile: Profile) -> str:
    if not profile.shipped:
        return profile.base
    return fingerprint(
        {
            name: sha256_of(Path(profile.base) / name)
            for name in ("model.safetensors", "tokenizer.json", "config.json")
        }
    )


def stage_key(recipe: Recipe, examples: Sequence[Example], base: str, profile: Profile, seed: int) -> str:
    """The hash that names a stage's folder. Anything that could change the weights is in it."""
    profile = recipe.settings(profile)
    return fingerprint(
        {
            "recipe": [recipe.name, recipe.base, recipe.trainer, recipe.length(profile)],
            "data": recipe.rows(examples),
            "base": base,
            "settings": [
                profile.engine,
                profile.max_length,
                profile.lora,
                getattr(profile, recipe.trainer),
                profile.save_dtype,
            ],
            "versions": {name: version(name) for name in LIBRARIES},
            "seed": seed,
        }
    )


def stage(name: str, seed: int = 0, profile: Profile | None = None) -> Stage:
    """The stage of this name, built now if it is not there.

    Raises:
        LabError: no such stage, a full disk, a base that cannot be fetched, or an interrupted run; nothing half-made is kept.
    """
    profile = profile or current_profile()
    recipe = recipe_named(name)
    plan = ingredients(recipe, seed, profile)
    shelf = build_dir() / "stages" / profile.name
    folder = shelf / f"{name}-s{seed}-{plan.key}"
    with writing(shelf):
        shelf.mkdir(parents=True, exist_ok=True)
        lock = FileLock(shelf / f".{name}-s{seed}.lock")
    with lock:
        problem = damage(folder)
        if problem and folder.exists():
            print(f"The stage {name} on disk is damaged ({problem}); building it again.", flush=True)
            shutil.rmtree(folder)
        if problem:
            _build(recipe, plan.examples, plan.base, folder, profile, seed, plan.key)
    return Stage(name, seed, plan.key, folder, recipe.why, read_json(folder / "training.json"))


@dataclass(frozen=True)
class Ingredients:
    """What a recipe is made of for one seed: its data, the folder it starts from, and the key that names the result."""

    examples: Sequence[Example]
    base: str
    key: str


def ingredients(recipe: Recipe, seed: int, profile: Profile) -> Ingredients:
    """Data, base and key of a recipe; a stage that it starts from, or that labels its data, is built now if it is not there."""
    parent = None if recipe.base == BASE else stage(recipe.base, seed, profile)
    examples = recipe.data(profile, seed)
    if recipe.labeller:
        examples = labelled_by(stage(recipe.labeller, seed, profile), examples)
    key = stage_key(recipe, examples, parent.key if parent else _base_fingerprint(profile), profile, seed)
    return Ingredients(examples, str(parent or profile.base), key)


def labelled_by(model: Stage, examples: Sequence[Example]) -> list[Example]:
    """The same prompts with the level that a model finds likeliest in place of the rubric's."""
    beliefs = label_probabilities(model, examples)
    return [
        replace(example, level=max(belief, key=belief.get))
        for example, belief in zip(examples, beliefs, strict=True)
    ]


def damage(folder: Path) -> str | None:
    """What is wrong with a stage folder: None when every file is as its manifest says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for name, digest in manifest["files"].items():
            if sha256_of(folder / name) != digest:
                return f"{name} has changed since it was written"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return f"{MANIFEST} cannot be read"
    return None


def _build(
    recipe: Recipe,
    examples: Sequence[Example],
    base: str,
    folder: Path,
    profile: Profile,
    seed: int,
    key: str,
) -> None:
    """Train into a partial folder beside the final one, then rename."""
    partial = folder.with_name(folder.name + ".partial")
    resumable = bool(getattr(profile, recipe.trainer)["save_steps"])
    if partial.exists() and not resumable:
        shutil.rmtree(partial)
    _check_space(folder.parent, base)
    started = time.time()
    try:
        recipe.build(examples, base, partial, profile, seed)
        for checkpoint in partial.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        _sign(partial, recipe, profile, seed, key, time.time() - started)
        partial.rename(folder)
    except KeyboardInterrupt:
        kept = _give_up(partial, resumable)
        raise LabError(
            f"Interrupted while building {recipe.name}. {kept} Earlier stages are untouched."
        ) from None
    except Exception as error:
        kept = _give_up(partial, resumable)
        cause = _disk_full(error)
        if cause:
            raise LabError(f"{explain_os_error(cause, folder)} {kept}") from error
        raise


def _give_up(partial: Path, resumable: bool) -> str:
    """Clear what cannot be used again and say what happens next time."""
    if resumable and any(partial.glob("checkpoint-*")):
        return "The last checkpoint is kept; the next run continues from it."
    shutil.rmtree(partial, ignore_errors=True)
    return "Nothing half-made was kept; the next run starts this stage afresh."


def _disk_full(error: BaseException) -> OSError | None:
    """The full-disk error behind `error`, if that is what it was (safetensors wraps it in an error of its own)."""
    if isinstance(error, OSError):
        return error
    return (
        OSError(28, "No space left on device")
        if "No space left" in str(error) or "os error 28" in str(error)
        else None
    )


def _check_space(shelf: Path, base: str) -> None:
    """Refuse before training what could not be saved after it."""
    source = Path(base)
    needed = (
        3 * sum(file.stat().st_size for file in source.glob("*.safetensors"))
        if source.is_dir()
        else 3 * 2**30
    )
    free = shutil.disk_usage(shelf).free
    if free < needed:
        raise LabError(
            f"The disk under {shelf} is full: {free / 1e6:,.0f} MB free, about {needed / 1e6:,.0f} MB needed. Nothing was lost: free some space "
            "(`make clean` empties build/), or set TRIAGE_BUILD to a larger disk, and run again."
        )


def _sign(folder: Path, recipe: Recipe, profile: Profile, seed: int, key: str, seconds: float) -> None:
    files = {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.is_file()}
    write_json(
        folder / MANIFEST,
        {
            "stage": recipe.name,
            "key": key,
            "seed": seed,
            "profile": asdict(profile),
            "recipe": "helpers/recipes/",
            "seconds": round(seconds, 1),
            "versions": {name: version(name) for name in LIBRARIES},
            "files": files,
        },
    )
