"""One model through every runtime of this machine, held against what it was made from.

llama.cpp is compared with transformers (did the export keep the model?), the server and the browser with
llama.cpp on the same file (does another program read the file alike?).
"""

from collections.abc import Sequence
from pathlib import Path

from helpers.cases import Example, evaluation_prompts
from helpers.export import export
from helpers.files import LabError, build_dir
from helpers.runtimes import parity
from helpers.runtimes.llama import LlamaCpp
from helpers.runtimes.reply import Missing
from helpers.runtimes.server import Server
from helpers.runtimes.transformers import Transformers

NAMES = (LlamaCpp.name, Server.name, "browser")


def check(
    source: str | Path,
    file: str | Path | None = None,
    quant: str = "F16",
    *,
    runtimes: Sequence[str] | None = None,
    on: str = "test",
    prompts: int | None = None,
) -> parity.Report:
    """Hold this machine's runtimes against the model in `source`, and print what is being done.

    Args:
        source: folder of the model as it was tested.
        file: its GGUF; exported now if not given.
        quant: the file's step of the ladder; decides the tolerances.
        runtimes: which of `NAMES`; all that this machine has if not given.
        on: the prompts, "test" or "dev".
        prompts: only so many of them, spread evenly.

    Raises LabError: a damaged file, a runtime that is missing though asked for by name, or no prompts.
    """
    made = build_dir() / "parity" / f"{Path(source).name}-{quant}.gguf"
    file = Path(file) if file else export(source, made, quant).path
    examples, wanted = evenly(evaluation_prompts(on), prompts), runtimes or NAMES
    print(f"{len(examples):,} {on} prompts through transformers and llama.cpp …", flush=True)
    with LlamaCpp(file) as runtime:  # the file first: a damaged one is refused before anything slow is done
        native = parity.run(runtime, examples)
    tested = parity.run(Transformers(source), examples)
    kind = "export" if quant == "F16" else "quantized"
    rows = [(parity.compare(tested, native), kind)] if LlamaCpp.name in wanted else []
    for name in (name for name in NAMES[1:] if name in wanted):
        print(f"… and through the {name}.", flush=True)
        try:
            rows.append((parity.compare(native, through(name, file, examples)), "file"))
        except Missing as missing:
            if runtimes:
                raise
            print(f"Left out: the {name}. {missing}", flush=True)
    return parity.judge(rows)


def through(name: str, file: Path, examples: Sequence[Example]) -> parity.Run:
    """A run of a GGUF in the server or the browser; `Missing` without a browser or its engine."""
    if name == Server.name:
        with Server(file) as runtime:
            return parity.run(runtime, examples)
    from helpers.runtimes.browser import Browser  # playwright takes half a second to import

    return parity.run(Browser(file), examples)


def evenly(examples: Sequence[Example], count: int | None) -> list[Example]:
    """So many of them, spread evenly; all if there are not more."""
    if count is not None and count < 1:
        raise LabError(f"{count} prompts compare nothing. Ask for at least one.")
    if not count or count >= len(examples):
        return list(examples)
    return [examples[place * len(examples) // count] for place in range(count)]
