"""The stage cache: every trained thing is built once, checked every time, and named by what went into it.

The key is a hash of rows, base, settings and library versions: `keep` takes them from a trainer, `stage` from
a recipe, and the same training has the same key. A folder appears by atomic rename and carries a manifest
with checksums; a damaged one is rebuilt with a message. A stage resumes from its last checkpoint, if any.
"""

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import Dataset
from filelock import FileLock
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig

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
from helpers.lab.session import uses
from helpers.progress import silenced
from helpers.recipes import BASE, RECIPES, Recipe, recipe_named
from helpers.train import LoadedModel, Profile, SFTTrainer, current_profile, merge_and_save
from helpers.train.loading import base_of
from helpers.train.trainers import PROCESSES

MANIFEST = "manifest.json"
# Of this process, where `torchrun` or `accelerate launch` started several.
RANK = int(os.environ.get("RANK", 0))
VERSIONS = {name: version(name) for name in ("torch", "transformers", "trl", "peft")}
# Arguments of a trainer that change no weight.
NOT_IN_KEY = (
    *("output_dir", "run_name", "logging", "save_", "report_to", "disable_tqdm", "use_cpu", "dataloader_pin"),
    *("hub_", "push_", "project"),
)


@dataclass(frozen=True, repr=False)
class Stage:
    """A trained model on disk with its training record. `str(stage)` is its folder: pass it as a model."""

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
        told = "{rows:,} rows × {epochs:.3g} epochs, {steps:,} steps, {seconds:.0f} s of training"
        where = f"Recipe: `helpers/recipes/`, key `{self.key}`."
        return f"**{self.name}** (seed {self.seed}): {self.why}. {told.format(**self.training)}. {where}"


def base_model() -> str:
    """The base every recipe starts from, as `evaluate` and `train` want it."""
    return current_profile().base


def stage_key(rows: Dataset, arguments: Mapping[str, Any], base: Any, profile: Profile) -> str:
    """The hash that names a stage's folder. Anything that could change the weights is in it.

    `arguments` are the trainer's, as `SFTConfig.to_dict()` gives them, without those that name folders, logs
    and checkpoints; `base` is what training starts from: folder, stage or hub id.
    """
    together = int(arguments["per_device_train_batch_size"]) * PROCESSES
    arguments = {**arguments, "per_device_train_batch_size": together}
    usual = {one.name: one.default for one in fields(SFTConfig)}
    weighty = {
        name: value
        for name, value in arguments.items()
        if not name.startswith(NOT_IN_KEY) and value != usual.get(name)
    }
    return fingerprint(
        {
            "data": rows.to_list(),
            "base": _base_fingerprint(base),
            "arguments": weighty,
            "lora": profile.lora,
            "engine": [profile.engine, profile.save_dtype],
            "versions": VERSIONS,
        }
    )


def _base_fingerprint(base: Any) -> str:
    """What a base is, wherever it lies: a stage's key, the hash of a folder's weights, or a hub id."""
    folder = Path(str(base))
    if (folder / MANIFEST).is_file():
        return str(read_json(folder / MANIFEST)["key"])
    if folder.is_dir():
        return _folder_fingerprint(str(folder), (folder / "model.safetensors").stat().st_mtime_ns)
    return str(base)


@lru_cache(maxsize=8)
def _folder_fingerprint(folder: str, _: int) -> str:
    names = ("model.safetensors", "tokenizer.json", "config.json")
    return fingerprint({name: sha256_of(Path(folder) / name) for name in names})


def stage(name: str, seed: int = 0, profile: Profile | None = None) -> Stage:
    """The stage of this name, built now from its recipe if it is not there.

    Raises LabError: no such stage, a full disk, a base that cannot be fetched, or an interrupted run;
    nothing half-made is kept.
    """
    profile = profile or current_profile()
    recipe = recipe_named(name)
    base = profile.base if recipe.base == BASE else stage(recipe.base, seed, profile)
    key = _recipe_key(recipe, seed, base, profile)
    return _kept(name, seed, key, profile, recipe.why, lambda: recipe.trainer(profile, seed, base))


def on_disk(name: str, seed: int = 0) -> Stage | None:
    """The stage of this name if this machine has trained its recipe, else None. Nothing is trained."""
    profile, recipe = current_profile(), recipe_named(name)
    base = profile.base if recipe.base == BASE else on_disk(recipe.base, seed)
    if base is None:
        return None
    key = _recipe_key(recipe, seed, base, profile)
    folder = build_dir() / "stages" / profile.name / f"{name}-s{seed}-{key}"
    whole = not damage(folder)
    return Stage(name, seed, key, folder, recipe.why, read_json(folder / "training.json")) if whole else None


def _recipe_key(recipe: Recipe, seed: int, base: Any, profile: Profile) -> str:
    return stage_key(recipe.rows(profile, seed), recipe.config(profile, seed).to_dict(), base, profile)


def keep(name: str, trainer: SFTTrainer) -> Stage:
    """Train and keep the result under this name; where the same was trained before, load that.

    Raises LabError: as `stage`; or the trainer starts from a model that is nowhere on disk.
    """
    profile, base = current_profile(), base_of(trainer.model)
    if isinstance(base, LoadedModel):
        what = "starts from a model in memory, which has no name to be found by"
        raise LabError(f"{name} {what}. Keep that one first.")
    key = stage_key(trainer.rows, trainer.settings, base, profile)
    why = RECIPES[name].why if name in RECIPES else "made in the notebook"
    return _kept(name, trainer.args.seed, key, profile, why, lambda: trainer)


def _kept(
    name: str, seed: int, key: str, profile: Profile, why: str, trainer: Callable[[], SFTTrainer]
) -> Stage:
    """The stage with this key from disk, or trained now; `trainer` is called only if it has to be."""
    shelf = build_dir() / "stages" / profile.name
    folder = shelf / f"{name}-s{seed}-{key}"
    with writing(shelf):
        shelf.mkdir(parents=True, exist_ok=True)
        lock = FileLock(shelf / f".{name}-s{seed}.lock")
    if RANK and damage(folder):  # of several processes that train together, the first one keeps the stage
        _help(name, trainer(), folder)
    with lock:
        problem = damage(folder)
        if problem and folder.exists():
            print(f"The stage {name} on disk is damaged ({problem}); building it again.", flush=True)
            shutil.rmtree(folder)
        if problem:
            _check_space(shelf, profile.base)
            _build(name, trainer, folder, profile, seed, key)
    uses(f"{name}-s{seed}-{key[:6]}")
    return Stage(name, seed, key, folder, why, read_json(folder / "training.json"))


def damage(folder: Path) -> str | None:
    """What is wrong with a stage folder: None when every file is as its manifest says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for name, digest in manifest["files"].items():
            if sha256_of(folder / name) != digest:
                return f"{name} has changed since it was written"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return f"{MANIFEST} cannot be read"
    return None


def _build(
    name: str, make: Callable[[], SFTTrainer], folder: Path, profile: Profile, seed: int, key: str
) -> None:
    """Train into a partial folder beside the final one, then rename."""
    partial = folder.with_name(folder.name + ".partial")
    try:
        trainer = make()
        if partial.exists() and trainer.args.save_strategy == "no":
            shutil.rmtree(partial)
        checkpoint = get_last_checkpoint(str(partial)) if partial.is_dir() else None
        if 0 < trainer.state.global_step < trainer.state.max_steps and not checkpoint:
            step = f"step {trainer.state.global_step} of {trainer.state.max_steps}"
            how = "Run the cell that loads the model and makes the trainer again, then keep it"
            raise LabError(f"The training of {name} was stopped at {step}. {how}.")
        started = time.time()
        trainer.label, trainer.args.output_dir = name, str(partial)
        if checkpoint or not trainer.state.global_step:  # one that has been trained already is kept as it is
            trainer.train(resume_from_checkpoint=checkpoint)
        adapter = trainer.adapter()
        trainer.accelerator.wait_for_everyone()
        merge_and_save(trainer.model, trainer.processing_class, partial, profile, adapter)
        write_json(partial / "training.json", asdict(trainer.record))
        for checkpoint in partial.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        _sign(partial, name, profile, seed, key, time.time() - started)
        partial.rename(folder)
    except KeyboardInterrupt:
        kept = _give_up(partial)
        raise LabError(f"Interrupted while building {name}. {kept} Earlier stages are untouched.") from None
    except Exception as error:
        kept = _give_up(partial)
        cause = _disk_full(error)
        if cause:
            raise LabError(f"{explain_os_error(cause, folder)} {kept}") from error
        raise


def _help(name: str, trainer: SFTTrainer, folder: Path) -> None:
    """Train with the first process, and wait until it has kept the result."""
    partial = folder.with_name(folder.name + ".partial")
    trainer.label, trainer.args.output_dir = name, str(partial)
    with silenced():
        trainer.train(resume_from_checkpoint=get_last_checkpoint(str(partial)) if partial.is_dir() else None)
    trainer.adapter()
    trainer.accelerator.wait_for_everyone()
    while damage(folder) and partial.is_dir():
        time.sleep(0.2)


def _give_up(partial: Path) -> str:
    """Clear what cannot be used again and say what happens next time."""
    if any(partial.glob("checkpoint-*")):
        return "The last checkpoint is kept; the next run continues from it."
    shutil.rmtree(partial, ignore_errors=True)
    return "Nothing half-made was kept; the next run starts this stage afresh."


def _disk_full(error: BaseException) -> OSError | None:
    """The full-disk error behind `error`, if it was one (safetensors wraps it in an error of its own)."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        return error
    full = "No space left" in str(error) or "os error 28" in str(error)
    return OSError(errno.ENOSPC, "No space left on device") if full else None


def _check_space(shelf: Path, base: str) -> None:
    """Refuse before training what could not be saved after it."""
    needed = 3 * sum(file.stat().st_size for file in Path(base).glob("*.safetensors")) or 3 * 2**30
    free = shutil.disk_usage(shelf).free
    if free < needed:
        room = f"{free / 1e6:,.0f} MB free, about {needed / 1e6:,.0f} MB needed"
        how = "free some space (`make clean` empties build/), or set TRIAGE_BUILD to a larger disk"
        raise LabError(f"The disk under {shelf} is full: {room}. Nothing was lost: {how}, and run again.")


def _sign(folder: Path, name: str, profile: Profile, seed: int, key: str, seconds: float) -> None:
    files = {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.is_file()}
    write_json(
        folder / MANIFEST,
        {
            "stage": name,
            "key": key,
            "seed": seed,
            "profile": asdict(profile),
            "recipe": "helpers/recipes/",
            "seconds": round(seconds, 1),
            "versions": VERSIONS,
            "files": files,
        },
    )
