"""Seconds and memory of an audit: `python -m tests.bench_audit [ROWS]` (default 1,000,000; not a test).

Rows of 10 to 40 words, five labels, a twentieth of them copies. Without a tokenizer's counting of long rows:
these rows are shorter than what a trainer reads.
"""

import csv
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from helpers import train
from helpers.audit import own, report
from helpers.files import DATA


def bench(count: int) -> str:
    """One line on an audit of `count` rows, reading and writing included."""
    rng = random.Random(0)
    words = [f"{a}{b}{c}" for a in "bcdfglmnprst" for b in ("al", "en", "ir", "os", "um") for c in range(400)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(("text", "label"))
            text = ""
            for number in range(count):
                text = text if number % 20 == 1 else " ".join(rng.choices(words, k=rng.randint(10, 40)))
                table.writerow((text, rng.choice("ABCDE")))
        started, worked = time.perf_counter(), time.process_time()
        lengths = own.Lengths(train.load_tokenizer(DATA / "nano-base"), 320)
        found = own.audit_file(str(path), lengths=lengths)
        report.write(found, report.judged(found, report.thresholds()), Path(folder))
        seconds, busy = time.perf_counter() - started, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    copies = found.measures["exact_copies"]
    return f"{count:,} rows: {seconds:.0f} s ({busy:.0f} s of processor), {peak:.2f} GiB, copies {copies:.3f}"


if __name__ == "__main__":
    print(bench(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
