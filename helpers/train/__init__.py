"""Train: profiles, hardware, a base with LoRA on it (transformers or Unsloth), and the trainers of TRL."""

# ruff: noqa: E402
from helpers.train.engine import import_engine_first, import_unsloth

import_engine_first()

from helpers.train.hardware import choose_hardware
from helpers.train.loading import LoadedModel, load, load_model, load_tokenizer, merge_and_save, merged
from helpers.train.profiles import LORA_TARGETS, Profile, current_profile, profile_named
from helpers.train.trainers import DPOTrainer, GRPOTrainer, SFTTrainer, machine, quieten
