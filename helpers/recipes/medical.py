"""The medical Spanish of the series: the rows of notebook 01 that passed every check, and the part of them that no model trains on.

Beside it, texts of the kind that the nano base has read before: what continued pre-training may overwrite, and what a *replay* mixes in.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

from helpers.files import LabError
from helpers.pretrain.corpus import write_corpus
from helpers.teacher import Client, chosen, open_teacher
from helpers.train import Profile
from helpers.translate import Translated, drop_false_claims, load_rows, translate

HELD_OUT = 5  # one text in so many is held out


@lru_cache(maxsize=1)
def _translated(rows: int) -> tuple[Translated, ...]:
    """Notebook 01's corpus: the same job, so that rows translated there are neither asked nor paid again."""
    loaded = load_rows("sample" if chosen() == "offline" else "auto", limit=rows)
    honest, _ = drop_false_claims(loaded.rows)
    with open_teacher(minute=6) as endpoint:
        done = translate(honest, Client(endpoint, max_cost_usd=5 if endpoint.price_in else None), "ES")
    if not done.passed:
        raise LabError(
            "No translated row passed the checks, so there is nothing to read. Run notebook 01 and look at its failures."
        )
    return tuple(done.passed)


def _is_held_out(item: Translated) -> bool:
    # By the row's name and not by its place: another limit, or a row that fails, moves no other row across.
    return zlib.crc32(item.row.id.encode()) % HELD_OUT == 0


def medical_texts(
    profile: Profile,
    seed: int = 0,  # noqa: ARG001 (every recipe's texts are asked for with one)
    held_out: bool = False,
) -> Sequence[str]:
    """The texts for continued pre-training, or the held-out ones; `seed` is not used, every run reads the same.

    Raises:
        LabError: the teacher cannot be asked, or no row passed the checks.
    """
    return [item.text for item in _translated(profile.counts["translated"]) if _is_held_out(item) is held_out]


@lru_cache(maxsize=4)
def base_texts(n: int, seed: int) -> tuple[str, ...]:
    """`n` plain texts from the generator of the nano base's corpus, drawn anew: the base has read texts like them, seldom the same."""
    documents = (document for document in write_corpus(4 * n, seed) if len(document.messages) == 1)
    return tuple(document.text for document in islice(documents, n))


def medical_with_replay(profile: Profile, seed: int = 0) -> Sequence[str]:
    """The medical texts, and with them some of what the base knew before."""
    return [*medical_texts(profile, seed), *base_texts(profile.counts["replay"], 1000 + seed)]
