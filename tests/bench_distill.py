"""The distillation client against its targets, in one run: `python tests/bench_distill.py [limits] [tokens]
[kills] [resume] [storm]`.

Prints numbers and ratios. A minute of the server lasts ten seconds here, so that minutes can be waited for;
limits, latencies and backoffs are scaled with it. Targets: ≥ 95 % of the limit with ≤ 1 % of requests
answered 429 in steady state; ≥ 95 % of a limit in tokens; 50 kills without a row lost or doubled; 100,000
keys resumed in < 5 s and < 500 MB; a storm that loses nothing and gets nothing invalid accepted.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers import cases, teacher
from helpers.files import ROOT
from helpers.teacher.journal import Journal, content_key

MINUTE = 10.0
LATENCY = (4.0, 9.0)  # seconds of a 60-second minute: what an answer of some hundred tokens takes


def chats(n: int) -> list[list[dict[str, str]]]:
    """Distinct requests of very different lengths."""
    rows = cases.write_diverse(min(n, 400), 0)
    dice = random.Random(0)
    return [
        [
            {"role": "system", "content": "x" * dice.randint(0, 3000)},
            {"role": "user", "content": f"{rows[i % len(rows)].text} ({i}) País: México."},
        ]
        for i in range(n)
    ]


def steady(series: list[dict[str, int]], seconds: int = 60) -> tuple[list[dict[str, int]], float]:
    """The bins after the first minute and before the last quarter, and how many minutes they are."""
    busy = [row for row in series if row["accepted"] or row["limited"]]
    middle = [row for row in series if busy[0]["second"] + seconds <= row["second"] < busy[-1]["second"] - 15]
    return middle, len(middle) / 60


def limits(folder: Path) -> None:
    """Share of the limit that is used in steady state."""
    with teacher.OfflineTeacher(minute=MINUTE, latency=LATENCY, requests_per_minute=500) as server:
        job = teacher.Client(server.endpoint, concurrency=96).run(chats(1700), folder / "limits", label=None)
        stats = server.stats()
    assert job.left == 0
    middle, minutes = steady(stats["series"])
    used, limited = sum(row["accepted"] for row in middle), sum(row["limited"] for row in middle)
    print(
        f"limits: {used / minutes:,.0f}/min = {used / minutes / 500:.1%} of the limit over {minutes:.1f} min "
        f"in steady state; "
        f"429s {limited}/{limited + used} = {limited / (limited + used):.2%} (whole run "
        f"{stats['limited']}/{stats['limited'] + stats['accepted']}); "
        f"in flight at most {max(row['in_flight'] for row in stats['series'])}",
        flush=True,
    )


def tokens(folder: Path, limit: int = 200_000) -> None:
    """Share of a limit in tokens a minute that is used, and the most that any minute of answers holds."""
    with teacher.OfflineTeacher(minute=MINUTE, latency=LATENCY, requests_per_minute=None) as server:
        endpoint = server.endpoint.model_copy(update={"tokens_per_minute": limit})
        job = teacher.Client(endpoint, concurrency=96).run(chats(1300), folder / "tokens", label=None)
    assert job.left == 0
    rows = sorted((one.at, one.prompt_tokens + one.completion_tokens) for one in job.answers())
    first, last = rows[0][0] + MINUTE, rows[-1][0] - MINUTE / 4
    used = sum(size for at, size in rows if first <= at < last) / ((last - first) / MINUTE)
    most = max(sum(size for other, size in rows if at - MINUTE < other <= at) for at, _ in rows)
    print(
        f"tokens: {used:,.0f}/min = {used / limit:.1%} of the limit over {(last - first) / MINUTE:.1f} min in "
        f"steady state; the fullest minute held {most / limit:.1%}",
        flush=True,
    )


JOB = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from helpers import cases, teacher
rows = cases.write_diverse(2000, 5)
endpoint = teacher.described("offline", base_url=sys.argv[1], key="x", minute=1, requests_per_minute=8000)
job = teacher.Client(endpoint).run([teacher.triage_prompt(row) for row in rows], Path(sys.argv[2]), validate=teacher.triage_validator(rows), label=None)
print(job.answered, job.resumed, job.left)
"""


def kills(folder: Path, times: int = 50, rows: int = 2000) -> None:
    """Kill one job at random moments of its work until `times` is reached, then let it end."""
    dice, done_before, torn = random.Random(0), [], 0
    with teacher.OfflineTeacher(minute=1, latency=LATENCY, requests_per_minute=None) as server:
        command = [sys.executable, "-c", JOB, server.endpoint.base_url, str(folder / "kills"), str(ROOT)]
        path = folder / "kills" / "answers.jsonl"
        for kill in range(times):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            begun = path.read_bytes().count(b"\n") if path.exists() else 0
            goal = begun + dice.randint(0, max(1, 2 * (rows - 100 - begun) // (times - kill + 1)))
            while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < goal):
                time.sleep(0.01)
            time.sleep(dice.random() * 0.05)
            process.kill()
            process.wait()
            raw = path.read_bytes() if path.exists() else b""
            torn += not raw.endswith(b"\n") and bool(raw)
            if raw and dice.random() < 0.3:  # what a power cut would leave; a kill hardly ever does
                path.write_bytes(raw[: -dice.randint(1, 40)])
                torn += 1
            done_before.append(raw.count(b"\n"))
        last = subprocess.run(command, capture_output=True, text=True, check=True)
        stats = server.stats()
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    print(
        f"kills: {times} kills, {torn} torn last lines; {len(keys)} lines, {len(set(keys))} distinct of "
        f"{rows}; lost {rows - len(set(keys))}, "
        f"doubled {len(keys) - len(set(keys))}; last run answered {last.stdout.split()[0]}; answers paid "
        f"{stats['accepted']} "
        f"({stats['accepted'] / rows - 1:.1%} more than rows)"
    )


RESUME = """
import resource, sys, time
began = time.monotonic()
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from helpers import teacher
imported = time.monotonic()
endpoint = teacher.described("offline", base_url="http://127.0.0.1:9/v1", minute=1)
prompts = [[{"role": "system", "content": "x" * 600}, {"role": "user", "content": f"consulta {i}"}] for i in range(100_000)]
made = time.monotonic()
job = teacher.Client(endpoint).run(prompts, Path(sys.argv[1]), label=None)
ended = time.monotonic()
print(job.resumed, job.left, round(imported - began, 2), round(ended - made, 2), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def resume(folder: Path) -> None:
    """A job over 100,000 keys, all answered before."""
    endpoint = teacher.described("offline", base_url="http://127.0.0.1:9/v1", minute=1)
    (folder / "resume").mkdir()
    journal = Journal(folder / "resume" / "answers.jsonl")
    for index in range(100_000):
        messages = [
            {"role": "system", "content": "x" * 600},
            {"role": "user", "content": f"consulta {index}"},
        ]
        record = {
            "key": content_key(endpoint.model, messages),
            "text": "respuesta " * 60,
            "model": "m",
            "finish_reason": "stop",
        }
        journal.append(
            record
            | {
                "prompt_tokens": 200,
                "completion_tokens": 170,
                "cost_usd": 0.0003,
                "attempts": 1,
                "thinking": False,
                "at": 0,
            }
        )
    journal.file.close()
    command = [sys.executable, "-c", RESUME, str(folder / "resume"), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    resumed, left, imports, seconds, megabytes = done.stdout.split()
    print(
        f"resume: {int(resumed):,} of 100,000 keys ({left} left) in {seconds} s and {megabytes} MB at most, "
        f"prompts included; imports {imports} s more; "
        f"file {(folder / 'resume' / 'answers.jsonl').stat().st_size / 1e6:.0f} MB"
    )


def storm(folder: Path) -> None:
    """2,000 rows while 30 % of the requests break."""
    rows = cases.write_diverse(2000, 7)
    prompts, valid = (
        [teacher.triage_prompt(row) for row in rows],
        teacher.triage_validator(rows, right_level=True),
    )
    settings = {
        "minute": 2.0,
        "latency": LATENCY,
        "requests_per_minute": 4000,
        "faults": teacher.Faults.storm(0.3),
    }
    with teacher.OfflineTeacher(**settings) as server:
        job = teacher.Client(server.endpoint).run(prompts, folder / "storm", validate=valid, label=None)
        stats = server.stats()
    got, errors = job.answers(), job.lost
    missing = {key for key, answer in zip(job.keys, got, strict=True) if answer is None}
    invalid = sum(valid(answer.text, index) is not None for index, answer in enumerate(got) if answer)
    print(
        f"storm: {sum(stats['faults'].values())}/{stats['accepted'] + stats['broken']} requests broken "
        f"{stats['faults']}; {job.answered} accepted, "
        f"{invalid} of them invalid; {len(missing)} in the errors file, {len(missing - set(errors))} in "
        f"neither; {job.seconds:.0f} s, ${job.cost_usd:.3f}"
    )


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    wanted = sys.argv[1:] or ["limits", "tokens", "kills", "resume", "storm"]
    with tempfile.TemporaryDirectory() as place:
        for name in wanted:
            started = time.monotonic()
            jobs = {"limits": limits, "tokens": tokens, "kills": kills, "resume": resume, "storm": storm}
            jobs[name](Path(place))
            print(f"  ({name}: {time.monotonic() - started:.0f} s)", flush=True)
