"""One job, several processes or machines, no coordinator: a folder that all of them see is enough."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.files import writing


def free_pieces(folder: Path, count: int) -> Iterator[int]:
    """Pieces 0 … `count` − 1 of a job, each handed to one process at a time until every piece is done.

        for piece in free_pieces(folder, 64):
            client.run(prompts[piece::64], folder / f"{piece:03d}")

    A piece is held by a lock that the operating system takes back when its process dies: another process gets
    the piece then, and a job that resumes by itself (as the teacher's does) loses nothing of it. A piece is
    done when its turn of the loop ends without an error.

    Raises LabError: the folder cannot be written.
    """
    waiting = random.sample(range(count), count)  # machines that start together ask for different pieces
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    while waiting:
        before = len(waiting)
        for piece in list(waiting):
            done = folder / f"{piece:03d}.done"
            try:
                with FileLock(folder / f"{piece:03d}.lock", timeout=0):
                    if not done.exists():
                        yield piece
                        done.touch()
                    waiting.remove(piece)
            except Timeout:  # somebody is at it
                continue
        if len(waiting) == before:
            time.sleep(0.5)
