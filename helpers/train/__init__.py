"""Train: profiles, hardware, a base with LoRA on it (transformers or Unsloth), and the trainers of TRL behind four functions: sft, cpt, dpo, grpo."""

# ruff: noqa: E402
from helpers.train.engine import import_engine_first, import_unsloth

import_engine_first()

from helpers.train.alignment import conversation_tokens, dpo, grpo
from helpers.train.hardware import Hardware, choose_hardware
from helpers.train.loading import load_model, load_tokenizer
from helpers.train.profiles import LFM2_TARGETS, Profile, current_profile, profile_named
from helpers.train.trainers import TrainingRecord, cpt, sft

__all__ = [
    "LFM2_TARGETS",
    "Hardware",
    "Profile",
    "TrainingRecord",
    "choose_hardware",
    "conversation_tokens",
    "cpt",
    "current_profile",
    "dpo",
    "grpo",
    "import_unsloth",
    "load_model",
    "load_tokenizer",
    "profile_named",
    "sft",
]
