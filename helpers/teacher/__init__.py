"""The teacher: which endpoint is asked (`config`), the resilient client (`client`), and the offline teacher.

with open_teacher() as endpoint:  # MiniMax, an OpenAI-compatible server, or the offline teacher
    job = Client(endpoint).run(prompts, "distillation", validate=triage_validator(examples))
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from helpers.teacher.client import Client
from helpers.teacher.config import Endpoint, chosen, described, remote_endpoint
from helpers.teacher.offline import OfflineTeacher
from helpers.teacher.offline.answers import planted_mistakes
from helpers.teacher.offline.server import Faults
from helpers.teacher.prompts import triage_problem, triage_prompt, triage_validator


@contextmanager
def open_teacher(**offline: Any) -> Iterator[Endpoint]:
    """The teacher that the environment asks for, or LabError; the offline one runs with these `Options`."""
    if (name := chosen()) != "offline":
        yield remote_endpoint(name)
        return
    with OfflineTeacher(**offline) as teacher:
        yield teacher.endpoint
