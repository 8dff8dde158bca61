"""Unsloth, when a profile asks for it. It patches trl, transformers and peft: it is imported before them."""

import importlib.util
import os
from typing import Any

from helpers.files import LabError
from helpers.train.profiles import VARIABLE, current_profile


def import_unsloth() -> Any:
    """Unsloth's `FastLanguageModel`, its automatic installs off; a `LabError` if Unsloth is not installed."""
    os.environ.setdefault("UNSLOTH_AUTO_INSTALL", "0")
    try:
        from unsloth import FastLanguageModel
    except ImportError as error:
        raise LabError(
            'This profile trains with Unsloth, which is not installed. Run `pip install -e ".[gpu]"`, or set TRIAGE_PROFILE=nano.'
        ) from error
    return FastLanguageModel


def import_engine_first() -> None:
    """Import Unsloth now if the profile needs it and it is there; anything wrong is said where it is used."""
    try:
        wanted = bool(os.environ.get(VARIABLE)) and current_profile().engine == "unsloth"
    except LabError:
        return
    if wanted and importlib.util.find_spec("unsloth"):
        import_unsloth()
