"""The teacher: which endpoint is asked (`config`), the resilient client (`client`), the naive one as an exhibit, and the offline teacher.

with open_teacher() as endpoint:                     # MiniMax, an OpenAI-compatible server, or the offline teacher
    job = Client(endpoint).run(prompts, "distillation", validate=triage_validator(examples))
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from helpers.teacher.client import Client, content_key
from helpers.teacher.config import Endpoint, Secret, chosen, described, remote_endpoint
from helpers.teacher.job import Answer, Job
from helpers.teacher.naive import NaiveJob, run_naive
from helpers.teacher.offline import Faults, OfflineTeacher, Options
from helpers.teacher.offline.answers import planted_mistakes as _planted
from helpers.teacher.prompts import triage_problem, triage_prompt, triage_validator
from helpers.translate import Row

__all__ = [
    "Answer",
    "Client",
    "Endpoint",
    "Faults",
    "Job",
    "NaiveJob",
    "OfflineTeacher",
    "Options",
    "Secret",
    "chosen",
    "content_key",
    "described",
    "open_teacher",
    "planted_mistakes",
    "remote_endpoint",
    "run_naive",
    "triage_problem",
    "triage_prompt",
    "triage_validator",
]


@contextmanager
def open_teacher(**offline: Any) -> Iterator[Endpoint]:
    """The teacher that the environment asks for; the offline one is started for as long as the block lasts.

    Args:
        offline: `Options` of the offline teacher (`minute=2`…); without meaning for the others.

    Raises:
        LabError: a variable is missing or wrong, or the offline teacher did not start.
    """
    name = chosen()
    if name != "offline":
        yield remote_endpoint(name)
        return
    with OfflineTeacher(**offline) as teacher:
        yield teacher.endpoint


def planted_mistakes(
    endpoint: Endpoint, rows: Sequence[Row], first: Sequence[Mapping[str, str] | None], country: str
) -> list[bool]:
    """For every row: did the offline teacher plant a mistake in this first answer? Empty for any other teacher, whose mistakes nobody knows."""
    return _planted(rows, first, country) if endpoint.name == "offline" else []
