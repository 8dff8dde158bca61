"""Child processes that end with their owner: they read their standard input, and its end is theirs."""

import subprocess


def end(process: subprocess.Popen) -> None:
    """Close a child's pipes, which asks it to end; kill it after three seconds."""
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
