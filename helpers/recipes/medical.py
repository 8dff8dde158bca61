"""The medical corpus: the translated rows that passed every check, and those that no model trains on.

`build_corpus` writes it, and only that asks a teacher. Whoever reads it (a recipe, the key of a stage) opens
a file and starts nothing. Beside it, texts of the kind that the nano base has read before: what continued
pre-training may overwrite, and what a *replay* mixes in.
"""

import os
import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from helpers.files import DATA, ROOT, LabError, build_dir, fingerprint, read_json, sha256_of, write_json
from helpers.pretrain.corpus import write_corpus
from helpers.teacher import Client, chosen, described, open_teacher
from helpers.train import Profile
from helpers.translate import drop_false_claims, load_rows, translate
from helpers.triage import country_of

COUNTRY = "ES"
HELD_OUT = 5  # one text in so many is held out
# What decides, besides the teacher, which texts are in the corpus: source rows, requests, glossary, checks.
INPUTS = (
    *sorted((DATA / "openmed_sample").glob("*.jsonl")),
    *sorted((ROOT / "helpers" / "translate").glob("*.py")),
    *(DATA / name for name in ("glossary.yaml", "numbers.yaml", "function_words.yaml")),
)


def corpus_path(profile: Profile) -> Path:
    """Where the corpus of this profile and this teacher lies: named by what went into it."""
    files = {str(path.relative_to(ROOT)): sha256_of(path) for path in INPUTS}
    teacher = [chosen(), os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_MODEL")]
    if teacher[0] != "compatible":  # the other two have a model of their own
        teacher = [chosen(), described(chosen(), base_url="").model]
    key = fingerprint([teacher, profile.counts["translated"], country_of(COUNTRY).country, files])
    return build_dir() / "corpus" / f"medical-{chosen()}-{key}.json"


def build_corpus(profile: Profile, max_cost_usd: float = 5.0) -> Path:
    """Write the corpus if it is not there: notebook 01's job, whose answers are not asked or paid again.

    Args:
        max_cost_usd: stop before more is spent, earlier runs included; only where a price is known.

    Raises LabError: no teacher, no budget left, or no row that passed the checks. Answers are kept.
    """
    path = corpus_path(profile)
    if not path.exists():
        loaded = load_rows("sample" if chosen() == "offline" else "auto", limit=profile.counts["translated"])
        print(f"Translating: {loaded.sentence}")
        rows, _ = drop_false_claims(loaded.rows)
        with open_teacher(minute=6) as endpoint:
            client = Client(endpoint, max_cost_usd=max_cost_usd if endpoint.price_in else None)
            done = translate(rows, client, COUNTRY)
        if done.stopped:
            how = "Answers are kept: call `build_corpus` again, with a larger max_cost_usd"
            raise LabError(f"The corpus is not whole: {done.stopped}. {how}.")
        if not done.passed:
            raise LabError("No translated row passed the checks. Run notebook 01 and look at its failures.")
        texts = [{"id": item.row.id, "text": item.text} for item in done.passed]
        write_json(path, {"source": loaded.sentence, "teacher": chosen(), "texts": texts})
    print(f"The medical corpus: {len(read_json(path)['texts']):,} translated texts that passed every check.")
    return path


def medical_texts(profile: Profile, held_out: bool = False) -> Sequence[str]:
    """The texts for continued pre-training, or the held-out ones.

    Raises LabError: the corpus has not been built.
    """
    path = corpus_path(profile)
    if not path.exists():
        how = "from helpers import recipes, train; recipes.build_corpus(train.current_profile())"
        raise LabError(
            "The medical corpus has not been built yet, or what it is made from has changed. "
            f"Run notebook 02 up to `build_corpus`, or: {how}"
        )
    # By the row's name and not by its place: another limit, or a row that fails, moves no other row across.
    return [
        row["text"]
        for row in read_json(path)["texts"]
        if (zlib.crc32(row["id"].encode()) % HELD_OUT == 0) is held_out
    ]


@lru_cache(maxsize=4)
def base_texts(n: int, seed: int) -> tuple[str, ...]:
    """`n` plain texts from the generator of the nano base's corpus, which repeats itself: it has read most of them."""
    documents = (document for document in write_corpus(4 * n, seed) if len(document.messages) == 1)
    return tuple(document.text for document in islice(documents, n))
