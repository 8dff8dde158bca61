"""Which file for which phone: what fits, how fast it could answer at best, and what the measured answers say against it.

A pure calculation from a file's predicted size, two figures of the phone and the evidence of a measured ladder. What is assumed stands in
`Phone` and in `memory_needed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from helpers.evaluate import Rate
from helpers.evaluate.gates import PASSES, Report
from helpers.export import LARGE, Architecture, Prediction, predict_large, read_architecture
from helpers.files import LabError, read_json

FAITHFUL = 0.99  # the share of people who must keep their level
GB = 1e9


@dataclass(frozen=True)
class Phone:
    """A phone, as far as this calculation knows it.

    Attributes:
        memory: GB in all. bandwidth: GB a second that its processor can read from memory.
        share: of the memory, what one app may fill; an assumption, since systems end a greedy app sooner or later.
        wanted: tokens a second below which a reader waits; a choice.
        context: tokens of prompt and answer together.
    """

    memory: float
    bandwidth: float
    share: float = 0.3
    wanted: float = 8.0
    context: int = 1024

    def __post_init__(self) -> None:
        if min(self.memory, self.bandwidth, self.share, self.wanted, self.context) <= 0 or self.share > 1:
            raise LabError(
                "A phone needs a memory, a bandwidth, a wish and a context above 0, and a share of at most 1."
            )


@dataclass(frozen=True)
class Evidence:
    """What was measured of one step: how many people keep the F16 file's level, and how its answers stand at the gates."""

    agreement: Rate
    gates: Report

    @property
    def against(self) -> tuple[str, ...]:
        """Everything that a recommendation of this step has to say beside itself; empty when nothing is held against it."""
        said = []
        if self.agreement.high < FAITHFUL:
            said.append(f"{1 - self.agreement.value:.1%} of the people get another level than from F16")
        elif self.agreement.low < FAITHFUL:
            said.append(f"not shown that {FAITHFUL:.0%} keep F16's level")
        if not self.gates.passed:
            said.append(
                f"gates not passed: {', '.join(row.gate.id for row in self.gates.rows if row.verdict != PASSES)}"
            )
        return tuple(said)


@dataclass(frozen=True)
class Offer:
    """One step on one phone.

    Attributes:
        needed: bytes of memory while it answers. fits: no more than the app may fill.
        at_most: upper bound of tokens a second. fast: not below the wish.
        against: what the evidence says against it.
    """

    quant: str
    needed: int
    fits: bool
    at_most: float
    fast: bool
    against: tuple[str, ...]


@dataclass(frozen=True)
class Advice:
    """Every step on a phone, and the one to take: None where no step both fits and is fast enough."""

    phone: Phone
    offers: tuple[Offer, ...]
    chosen: Offer | None


def large_architecture() -> Architecture:
    """LFM2.5-1.2B's dimensions."""
    return read_architecture(read_json(LARGE)["config"])


def cache_bytes(architecture: Architecture, context: int) -> int:
    """What the model remembers of `context` tokens: keys and values of 16 bits in attention layers, two states of 32 in convolutions."""
    attention = sum(architecture.attention)
    keys = architecture.kv_heads * architecture.hidden // architecture.heads
    return (
        attention * context * 2 * keys * 2
        + (architecture.layers - attention) * (architecture.kernel - 1) * architecture.hidden * 4
    )


def memory_needed(prediction: Prediction, architecture: Architecture, context: int) -> int:
    """The whole file, the cache, and the logits of a batch of 512 tokens as a stand-in for llama.cpp's work buffers; in bytes."""
    return prediction.bytes + cache_bytes(architecture, context) + 512 * architecture.vocabulary * 4


def tokens_at_most(prediction: Prediction, bandwidth: float) -> float:
    """Upper bound of tokens a second: every weight is read once a token, at `bandwidth` GB a second and with nothing else to do."""
    return bandwidth * GB / sum(choice.bytes for choice in prediction.tensors)


def recommend(
    phone: Phone,
    evidence: Mapping[str, Evidence],
    predictions: Sequence[Prediction] = (),
    architecture: Architecture | None = None,
) -> Advice:
    """The largest file that fits and is fast enough; what the evidence says against it comes with it.

    Bits are never given away for speed that was not asked for: a smaller file is taken only when the larger ones do not fit or are too slow.

    Args:
        evidence: of every step that may be offered, by its name.
        predictions, architecture: the model's files; default: LFM2.5-1.2B's.
    """
    files, shape = (
        predictions or [predict_large(quant) for quant in evidence],
        architecture or large_architecture(),
    )
    offers = []
    for file in sorted(files, key=lambda one: -one.bytes):
        needed, speed = memory_needed(file, shape, phone.context), tokens_at_most(file, phone.bandwidth)
        fits, fast = needed <= phone.share * phone.memory * GB, speed >= phone.wanted
        offers.append(Offer(file.quant, needed, fits, speed, fast, evidence[file.quant].against))
    chosen = next((offer for offer in offers if offer.fits and offer.fast), None)
    return Advice(phone, tuple(offers), chosen)
