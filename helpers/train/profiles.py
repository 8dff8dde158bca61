"""The profiles as data (`data/profiles.yaml`)."""

import os
from dataclasses import dataclass
from typing import Any

from helpers.files import DATA, ROOT, LabError, read_yaml

VARIABLE = "TRIAGE_PROFILE"
# The layers that LoRA adapts, in each family's own names: Llama's, put on an LFM2, would silently adapt q, k and v alone.
LORA_TARGETS = {
    "lfm2": ("q_proj", "k_proj", "v_proj", "out_proj", "in_proj", "w1", "w2", "w3"),
    "gemma3_text": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
}


@dataclass(frozen=True)
class Profile:
    """Model, engine and sizes of a run. See `data/profiles.yaml` for what each field holds."""

    name: str
    what: str
    stamp: str
    model: str
    engine: str
    save_dtype: str
    max_length: int
    lora: dict[str, int]
    sft: dict[str, Any]
    cpt: dict[str, Any]
    dpo: dict[str, Any]
    grpo: dict[str, Any]
    generate: dict[str, int]
    counts: dict[str, int]
    grid: dict[str, Any]

    @property
    def base(self) -> str:
        """The base model as `from_pretrained` wants it: an absolute folder or a hub id."""
        if self.model == "pocket":  # made once from the packages of the extra `real`
            from helpers import pocket

            return str(pocket.base())
        local = ROOT / self.model
        return str(local) if local.exists() else self.model


def current_profile() -> Profile:
    """The profile named by `TRIAGE_PROFILE` (default `nano`); a `LabError` if there is none of that name."""
    return profile_named(os.environ.get(VARIABLE, "").strip() or "nano")


def profile_named(name: str) -> Profile:
    """The profile of this name; a `LabError` lists the names there are."""
    known = read_yaml(DATA / "profiles.yaml")
    if name not in known:
        how = f"Set {VARIABLE} to one of {', '.join(known)}, or unset it for nano"
        raise LabError(f"There is no profile {name!r}. {how}.")
    return Profile(name=name, **known[name])
