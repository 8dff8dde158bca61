"""Several machines ask one teacher without a coordinator; one of them dies, and every row is answered once."""

import json
import os
import subprocess
import sys
import time

from helpers.files import ROOT
from helpers.shared import free_pieces

ROWS, PIECES = 240, 12
MACHINE = """
import sys
from pathlib import Path
from helpers import teacher
from helpers.shared import free_pieces

folder = Path(sys.argv[2])
endpoint = teacher.described("offline", base_url=sys.argv[1], minute=1)
prompts = [[{"role": "user", "content": f"consulta {number}"}] for number in range(int(sys.argv[3]))]
pieces = int(sys.argv[4])
for piece in free_pieces(folder, pieces):
    teacher.Client(endpoint, concurrency=2).run(prompts[piece::pieces], folder / f"{piece:03d}", label=None)
"""


def _start(url, folder):
    command = [sys.executable, "-c", MACHINE, url, str(folder), str(ROWS), str(PIECES)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)


def _keys(folder):
    files = folder.glob("*/answers.jsonl")
    return [json.loads(line)["key"] for file in files for line in file.read_text().splitlines()]


def test_of_two_machines_one_is_killed_and_every_row_is_answered_once(quick, tmp_path):
    url, folder = quick.endpoint.base_url, tmp_path / "job"
    machines = [_start(url, folder) for _ in range(2)]
    while not _keys(folder):
        assert machines[0].poll() is None
        time.sleep(0.02)
    machines[0].kill()
    machines[0].wait()
    assert len(_keys(folder)) < ROWS  # it died at work
    assert machines[1].wait(timeout=120) == 0
    keys = _keys(folder)
    assert len(keys) == len(set(keys)) == ROWS


def test_a_piece_whose_turn_fails_is_handed_out_again(tmp_path):
    first = free_pieces(tmp_path, 3)
    lost = next(first)
    first.close()  # as an exception in the loop does
    assert sorted(free_pieces(tmp_path, 3)) == [0, 1, 2] and lost in (0, 1, 2)
    assert list(free_pieces(tmp_path, 3)) == []
