"""Where things live, how they are written, and the one error a reader sees.

Everything generated goes under `build/` (`TRIAGE_BUILD` moves it). Every write is atomic: a reader of the
file sees the old content or the new one, never half of it.
"""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
NOTEBOOKS = ROOT / "notebooks"


class Row(BaseModel):
    """An entry of a data file: what it may hold, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, str_min_length=1)


Kind = TypeVar("Kind", bound=Row)


class LabError(Exception):
    """What happened, what it means and what to do next; shown to readers without a stack trace."""

    def _render_traceback_(self) -> list[str]:
        """IPython calls this instead of printing a traceback."""
        return [f"✗ {self}"]


def build_dir() -> Path:
    """The folder for everything generated; created on demand."""
    return ROOT / Path(os.environ.get("TRIAGE_BUILD") or "build").expanduser()


def explain_os_error(error: OSError, path: Path) -> LabError:
    """Turn the operating system's error about `path` into one that says what to do."""
    what, how = error.strerror or str(error), "mend that and run the same command again"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "the disk is full"
        how = "free some space (`make clean` empties build/) and run the same command again"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        what, how = "the folder is read-only", "make it writable, or set TRIAGE_BUILD to a folder of yours"
    return LabError(f"Could not write {path}: {what}. Nothing was lost: {how}.")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Explain any operating-system error raised while something is being written to `path`."""
    try:
        yield
    except OSError as error:
        raise explain_os_error(error, path) from error
    except Exception as error:
        if "os error 28" not in str(error):
            raise
        # safetensors tells the system's error in words alone
        raise explain_os_error(OSError(errno.ENOSPC, ""), path) from error


@contextmanager
def arriving(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, to be written: it takes that name when the block ends without an error.

    Raises LabError: the disk is full or the folder is read-only; the old file is untouched.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`, whole or not at all; errors as of `arriving`."""
    with arriving(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
    """`value` as readable JSON, written atomically."""
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Parse a JSON file. Raises LabError: the file is missing or cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        how = "Run the notebook or stage that writes it, or restore it with `git checkout`"
        raise LabError(f"{path} is missing. {how}.") from error
    except ValueError as error:
        how = "Delete it; the next run writes it again"
        raise LabError(f"{path} is not whole JSON (cut off or edited by hand). {how}.") from error


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """A short stable hash of any JSON-able value: the same content gives the same key on every machine."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def read_yaml(path: Path) -> Any:
    """Parse a YAML file safely; a `LabError` with file and line if it is missing or no YAML."""
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml reads ten times as fast
        value = loader(path.read_text(encoding="utf-8")).get_single_data()
        if value is None:
            raise LabError(f"{path} is empty. Restore it with `git checkout -- {path.name}`.")
        return value
    except FileNotFoundError as error:
        how = f"It is part of the repository: restore it with `git checkout -- {path.name}`"
        raise LabError(f"{path} is missing. {how}.") from error
    except UnicodeDecodeError as error:
        raise LabError(f"{path} is no UTF-8 text. Save it as UTF-8.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "not valid YAML"
        how = "Mend that line (quote a text that holds ': ' or starts with a sign)"
        raise LabError(f"{where}: {problem}. {how}.") from error


def bad_entry(path: Path, entry: str, field: str, problem: str) -> LabError:
    """The one message about an entry of a data file that cannot be used."""
    where = f"{path}: entry `{entry}`: field `{field}`"
    return LabError(f"{where}: {problem}. See data/README.md for the format.")


def check_entry(kind: type[Kind], value: Any, path: Path, entry: str, **more: Any) -> Kind:
    """A data file's entry with `more` fields; a `LabError` by file, entry and field if it is malformed."""
    try:
        return kind.model_validate({**value, **more} if isinstance(value, dict) else value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"]) or "(all)"
        raise bad_entry(path, entry, field, first["msg"].removeprefix("Value error, ")) from None
