"""Two trainings at once against one alone, by how idle threads wait: `python tests/bench_shared.py`.

Every run is a process with one thread a core, as a reader's is. `ours` is what helpers/__init__.py sets; `spin` lets a
thread look 10,000 times before it sleeps; `library` is libgomp's own choice (it spins for some hundred thousand turns
and takes the core from whatever else runs). Ratios are for reading; nothing here is a timed assertion.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WAYS = {
    "ours": {},
    "spin": {"GOMP_SPINCOUNT": "10000"},
    "library": {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "300000"},
}
TRAIN = """
from datasets import Dataset
from trl import SFTConfig
from helpers import cases, train

profile = train.current_profile()
data = Dataset.from_list(cases.chat_rows(cases.write_diverse(96, seed=0)))
model, tokenizer = train.load(profile)
settings = SFTConfig(num_train_epochs=1, learning_rate=4e-3, max_length=320, seed=0, **train.machine(profile))
trainer = train.SFTTrainer(model, processing_class=tokenizer, train_dataset=data, args=settings)
trainer.train()
print(trainer.seconds)
"""


def seconds(way: dict[str, str], at_once: int) -> list[float]:
    """Training seconds of this many processes that start together."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), **way}
    command = [sys.executable, "-c", TRAIN]
    runs = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(at_once)
    ]
    return [float(run.communicate()[0].split()[-1]) for run in runs]


def main() -> None:
    """A line a way: seconds alone, seconds of two at once, and their ratio."""
    repeats = int(sys.argv[1]) if sys.argv[1:] else 1
    print(f"load of this machine before: {os.getloadavg()[0]:.1f}", flush=True)
    for name, way in WAYS.items():
        alone = statistics.median(seconds(way, 1)[0] for _ in range(repeats))
        two = statistics.median(max(seconds(way, 2)) for _ in range(repeats))
        print(f"{name:8} alone {alone:5.1f} s, two at once {two:5.1f} s each: {two / alone:.1f}×", flush=True)


if __name__ == "__main__":
    main()
