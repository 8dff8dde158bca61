"""The command line: `python -m helpers COMMAND`, with run, audit, gate, phone, parity, test, quick and others.

Only the standard library is imported before the environment is known to be there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from helpers.install import ROOT, ensure, missing
from helpers.machines import COMPILER, InstallError
from helpers.startup import give_home, settle


def run(options: argparse.Namespace) -> int:
    """Execute the notebooks, then print what was found."""
    from helpers import lab, notebooks
    from helpers.files import LabError, build_dir, write_atomic
    from helpers.train import current_profile
    from helpers.train.profiles import VARIABLE

    if options.write and options.notebooks:
        raise LabError("--write refreshes the whole series from one run: leave out the notebooks' names.")
    asked = tuple(options.notebooks)
    if asked and not os.environ.get(VARIABLE):  # 13 has a profile of its own
        named = next((one for one in notebooks.PLAN if one.name.startswith(asked[0])), None)
        os.environ[VARIABLE] = named.profile if named else "nano"
    print(f"Profile {current_profile().name}: {current_profile().what}.", flush=True)
    wanted = notebooks.chosen(asked, _say)
    if options.write and any(one.lacks for one in notebooks.PLAN if one.profile == "nano"):
        raise LabError("--write refreshes the whole series, and packages are missing for part of it.")
    if options.seeds or options.write:  # a page that is committed shows three seeds of every headline arm
        os.environ[lab.SEEDS] = str(options.seeds or 3)
    if options.figure:
        if len(wanted) != 1:
            raise LabError("--figure draws a figure of one notebook: name it, as `run 05 --figure 3`.")
        out = build_dir() / "figures" / f"{wanted[0].name}-{options.figure}.png"
        notebooks.execute(wanted[0], out, _say, options.figure)
        _say(f"Written: {out}")
        return 0
    started, seconds = time.time(), {}  # of each notebook's sections
    if options.fresh or options.write:  # what is committed, minutes included, comes from an empty cache
        for folder in ("stages", "outcomes", "runs", "samples", "teacher", "notebooks", "results"):
            shutil.rmtree(build_dir() / folder, ignore_errors=True)
    for number, chapter in enumerate(wanted, 1):
        _say(f"[{number}/{len(wanted)}] {chapter.name}: {chapter.title}")
        out = notebooks.executed_path(chapter)
        seconds[chapter.name] = notebooks.execute(chapter, out, _say)
        _say(f"  done in {sum(seconds[chapter.name].values()):.0f} s")
    if options.fresh or options.write:
        notebooks.record_seconds(seconds)
    if options.write:
        for chapter in wanted:
            write_atomic(chapter.path, notebooks.executed_path(chapter).read_bytes())
        write_atomic(lab.shipped_path(), lab.results_path().read_bytes())
        notebooks.write_finding()
        notebooks.write_badges()
        _say("Refreshed notebooks/, data/results/ and the README's map.")
    _say(lab.report())
    minutes = f"{(time.time() - started) / 60:.1f} min"
    _say(f"{len(wanted)} notebooks in {minutes}. Executed copies: {build_dir() / 'notebooks'}")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def train(options: argparse.Namespace) -> int:
    """Train a stage; started by `torchrun` or `accelerate launch`, all their processes train it together."""
    from helpers import lab
    from helpers.lab.stages import RANK

    lab.session()  # the libraries' chatter off
    kept = lab.stage(options.stage, options.seed)
    if not RANK:
        told = "{rows:,} rows, {steps:,} steps, loss {last:.4f}, {seconds:.0f} s".format(
            **kept.training, last=kept.training["losses"][-1][1]
        )
        print(f"{kept.name}: {told}. {kept.path}", flush=True)
    return 0


def gate(options: argparse.Namespace) -> int:
    """Hold a model against gates, ours or yours (--cases, --gates); exit code 0: accepted, 1: rejected."""
    from helpers import lab
    from helpers.evaluate import gates

    lab.session()  # the libraries' chatter off
    if options.cases:
        from helpers.runtimes import own

        elsewhere = options.model.startswith("http") or options.model.endswith(".gguf")
        model = options.model if elsewhere else _model_named(options.model, options.seed)
        how = {"text": options.text, "label": options.label, "name": options.model_name or ""}
        report = own.check(model, options.cases, options.gates or own.OWN_GATES, **how)
    else:
        report = gates.check(_model_named(options.model, options.seed), on=options.on)
    print(report, flush=True)
    return int(not report.passed)


def _model_named(name: str, seed: int) -> str:
    """The model behind a name of the command line: the base, a stage (built now if need be), or a folder."""
    from helpers import lab
    from helpers.files import LabError
    from helpers.recipes import BASE, RECIPES

    lab.session()  # the libraries' chatter off
    if name == BASE:
        return lab.base_model()
    if name in RECIPES:
        return str(lab.stage(name, seed))
    if Path(name).is_dir():
        return name
    known = f"{BASE}, one of the stages {', '.join(RECIPES)}, or the folder of a model"
    raise LabError(f"There is no stage or folder {name!r}. Give {known}.")


def audit(options: argparse.Namespace) -> int:
    """Audit a data set of your own: copies, contradictions, skew, labels; exit code 1 by thresholds, 2 unread."""
    from helpers.audit import own, report
    from helpers.audit.reading import Unreadable
    from helpers.files import build_dir
    from helpers.train import current_profile, load_tokenizer

    try:
        bounds = report.thresholds(*([options.thresholds] if options.thresholds else []))
        profile = current_profile()
        limit = options.max_length or profile.max_length
        lengths = own.Lengths(load_tokenizer(options.tokenizer or profile.base), limit)
        asked = {"text": options.text, "label": options.label, "pairs": options.pairs, "prior": options.prior}
        more = {"encoding": options.encoding, "split": options.split}
        found = own.audit_file(options.file, **asked, **more, lengths=lengths)
    except Unreadable as error:
        print(f"✗ {error}", file=sys.stderr)
        return 2
    verdicts = report.judged(found, bounds)
    out = options.out or build_dir() / "audit"
    report.write(found, verdicts, out)
    print(report.printed(found, verdicts), f"Written: {out}/report.html, rows.jsonl", sep="\n")
    return int(not all(held for _, held, _ in verdicts))


def _shares(text: str) -> dict[str, float]:
    """Shares of labels: `a=0.5,b=0.5`."""
    return {name.strip(): float(share) for name, _, share in (one.rpartition("=") for one in text.split(","))}


def show(options: argparse.Namespace) -> int:
    """Where a number of the pages comes from: value, n, interval, notebook, cell, models, versions."""
    from helpers import provenance

    print(provenance.told(options.key))
    return 0


def compare(_: argparse.Namespace) -> int:
    """Lay this machine's results beside the shipped ones; exit code 1 if a key is outside its tolerance."""
    from helpers import provenance

    apart, summary = provenance.compare()
    print(*apart, summary, sep="\n")
    return int(bool(apart))


def phone(options: argparse.Namespace) -> int:
    """Put a model into a web page that works offline, and serve it on loopback, for a browser or a phone."""
    from helpers.export import LADDER, export
    from helpers.files import build_dir
    from helpers.runtimes import phone as page
    from helpers.runtimes.serve import serve

    files, steps = [Path(options.model)], list(LADDER)
    if files[0].suffix != ".gguf":
        name, source, small = files[0].name, _model_named(options.model, 0), "Q4_K_M"
        made = [export(source, build_dir() / "phone" / f"{name}-{options.quant}.gguf", options.quant)]
        if steps.index(options.quant) < steps.index(small):  # for a device on which the first file fails
            made.append(export(source, build_dir() / "phone" / f"{name}-{small}.gguf", small))
        print(*made, sep="\n", flush=True)
        files = [one.path for one in made]
    site = page.build(*files, out=build_dir() / "phone" / "site", stage=options.model)
    serve(site, port=options.port, lan=options.lan)
    return 0


def parity(options: argparse.Namespace) -> int:
    """Is what runs elsewhere the model that was tested? Exit code 0 within data/parity.yaml, 1 on drift."""
    from helpers.runtimes import check

    source = _model_named(options.model, options.seed)
    chosen = {"runtimes": options.runtimes, "on": options.on, "prompts": options.prompts}
    report = check.check(source, options.file, options.quant, **chosen)
    print(report, flush=True)
    return report.exit_code


def workshop(options: argparse.Namespace) -> int:
    """Notebooks without solutions, an instructor's guide and plans for a class; --zip: all for an offline room."""
    from helpers import workshop as room
    from helpers.files import build_dir

    out = room.write(build_dir() / "workshop")
    print(f"Written: {out}/notebooks, {out}/guide.md", flush=True)
    if options.zip:
        room.wheels(out / "wheels")
        target = room.pack_zip(out)
        print(f"Written: {target}, {target.stat().st_size / 1e6:,.0f} MB. {room.checkpoints()}", flush=True)
    return 0


STATIC_CHECKS = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"])
FAST = "not notebook and not training and not slow and not site"  # the marks are explained in pyproject.toml


def _modules(*commands: list[str]) -> int:
    """Run each as `python -m …`, the later ones too if one fails; the first exit code but 0, else 0."""
    whole = [[sys.executable, "-m", *command] for command in commands]
    codes = [subprocess.run(command, cwd=ROOT, check=False).returncode for command in whole]
    return next((code for code in codes if code), 0)


def test(options: argparse.Namespace) -> int:
    """Lint, types and the whole test suite."""
    return _modules(*STATIC_CHECKS, ["pytest", *options.arguments])


def quick(options: argparse.Namespace) -> int:
    """Lint, types and the fast tests: less than three minutes on two cores. The five slowest are named."""
    return _modules(*STATIC_CHECKS, ["pytest", "-m", FAST, "--durations=5", *options.arguments])


def tidy(_: argparse.Namespace) -> int:
    """Sort imports and format code, notebooks included."""
    return _modules(["ruff", "check", "--select=I", "--fix", "."], ["ruff", "format", "."])


def lab(_: argparse.Namespace) -> int:
    """JupyterLab on loopback, in the notebooks folder."""
    first = "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"
    root = ["--ServerApp.allow_root=True"] if os.name == "posix" and os.geteuid() == 0 else []
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        _say("In a container: start it with `--network=host`, or forward port 8888 to its loopback.")
    return _modules(["jupyterlab", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={ROOT}", *root, first])


def site(_: argparse.Namespace) -> int:
    """The notebooks as a static site with search, glossary and the phone's page: build/site."""
    from helpers import site as pages
    from helpers.files import build_dir

    print(pages.build(build_dir() / "site"), flush=True)
    return 0


def badges(_: argparse.Namespace) -> int:
    """Regenerate navigation bars, Colab badges, bootstrap cells and the README's map."""
    from helpers import notebooks

    changed = notebooks.write_badges()
    print(f"Regenerated: {', '.join(changed)}" if changed else "Nothing to change.")
    return 0


def pretrain(options: argparse.Namespace) -> int:
    """Make data/nano-base/ anew from the micro-world, or say on its card what its reading is worth."""
    from helpers.files import DATA
    from helpers.pretrain import build

    if options.compare:
        from helpers.lab import bases

        bases.compare(_say)
        return 0
    facts = build.pretrain(DATA / "nano-base")
    told = "{parameters:,} parameters, loss {first_loss} → {last_loss}, {seconds:,} s".format(**facts)
    print(f"data/nano-base: {told}.")
    return 0


def bench_gpu(options: argparse.Namespace) -> int:
    """Speed and memory of training 1.2 B parameters on this GPU: Unsloth beside plain transformers + PEFT."""
    from helpers.train import bench

    print(f"Kept in {bench.report(options.size, options.steps)}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(prog="python -m helpers", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    def command(act: Callable[[argparse.Namespace], int], name: str = "") -> Callable[..., argparse.Action]:
        """A new command; what comes back adds an argument to it."""
        one = commands.add_parser(name or act.__name__, help=act.__doc__)
        one.set_defaults(act=act)
        return one.add_argument

    add = command(run)
    add("notebooks", nargs="*", help="only those whose names begin so (00, 04_imb…)")
    add("--write", action="store_true", help="refresh the committed outputs and data/results/")
    add("--fresh", action="store_true", help="empty the cache first")
    add("--seeds", type=int, choices=range(1, 10), metavar="N", help="seeds of every arm (1; 3 with --write)")
    add("--figure", type=int, choices=range(1, 30), metavar="N", help="one figure, as build/figures/….png")

    named = "a stage's name (built now if it is not there), base, or the folder of a model"
    add = command(train)
    add("stage", metavar="STAGE", help="a stage's name, as sft-balanced")
    add("--seed", type=int, default=0, help="of rows, adapter and their order (default: 0)")

    add = command(gate)
    add("model", metavar="MODEL", help=f"{named}; with --cases a .gguf file or an endpoint's address too")
    judged = ("test", "dev", "syndromes", "vignettes")
    add("--on", choices=judged, default="test", help="the items to answer (default: test)")
    add("--seed", type=int, default=0, help="the stage's seed (default: 0)")
    add("--cases", metavar="FILE", help="cases of your own: text and label (several right ones: A|B)")
    add("--gates", type=Path, metavar="FILE", help="gates of your own (default: data/own-gates.yaml)")
    add("--model-name", help="of the model at an endpoint that has several (default: its first)")
    add("--text", metavar="COLUMN", help="the column with the text (default: recognised by its name)")
    add("--label", metavar="COLUMN", help="the column with the label")

    add = command(audit)
    add("file", metavar="FILE", help="JSON lines, CSV, Parquet, or a data set's name on the model hub")
    add("--text", metavar="COLUMN", help="the column with the text (default: recognised by its name)")
    add("--label", metavar="COLUMN", help="the column with the label")
    add("--pairs", action="store_true", help="rows are preferences: columns chosen and rejected")
    add("--prior", type=_shares, metavar="A=0.5,B=0.5", help="the labels' shares to expect (default: equal)")
    add("--tokenizer", help="counts tokens: a folder or hub id (default: the profile's base)")
    add("--max-length", type=int, metavar="N", help="tokens of a row that a trainer reads")
    add("--encoding", default="utf-8", help="of a text file (default: utf-8)")
    add("--split", default="train", help="of a data set on the hub (default: train)")
    add("--out", type=Path, metavar="FOLDER", help="for the report (default: build/audit)")
    add("--thresholds", type=Path, metavar="FILE", help="instead of data/audit.yaml")

    model = {"metavar": "MODEL", "nargs": "?", "default": "sft-balanced"}
    add = command(phone)
    add("model", **model, help=f"{named}, or a .gguf file (default: sft-balanced)")
    add("--quant", metavar="STEP", default="Q5_K_M", help="step of the ladder F16 … Q2_K (default: Q5_K_M)")
    add("--port", type=int, default=8765, help="0 for any free one (default: 8765)")
    add("--lan", action="store_true", help="let the local network in, and print a QR code")

    add = command(parity)
    add("model", **model, help=f"{named} (default: sft-balanced)")
    add("--quant", metavar="STEP", default="F16", help="step of the ladder to export it to (default: F16)")
    file = "hold this file against the model, not a new export (its step: --quant)"
    add("--file", metavar="GGUF", help=file)
    ways = ("llama_cpp", "server", "browser")
    add("--runtimes", nargs="+", choices=ways, help="what to hold against it (default: all of this machine)")
    add("--on", choices=("test", "dev"), default="test", help="the prompts (default: test)")
    add("--prompts", type=int, metavar="N", help="only so many of them, spread evenly (default: all)")
    add("--seed", type=int, default=0, help="the stage's seed (default: 0)")

    packed = "one zip of wheels for this machine's kind, notebooks and checkpoints (needs the package index)"
    command(workshop)("--zip", action="store_true", help=packed)
    for act in (test, quick):
        command(act)("arguments", nargs=argparse.REMAINDER, help="passed to pytest")
    smaller = "keep the base; pretrain two smaller ones and compare what they read (half an hour)"
    command(pretrain)("--compare", action="store_true", help=smaller)
    add = command(bench_gpu, "bench-gpu")
    add("--size", choices=("1.2b", "nano"), default="1.2b", help="nano runs without a GPU (default: 1.2b)")
    add("--steps", type=int, default=20, metavar="N", help="optimizer steps to measure (default: 20)")
    command(tidy, "format")
    command(show)(
        "key", metavar="KEY", help="as balanced.accuracy.vignettes; or the beginning of several keys"
    )
    for act in (compare, lab, site, badges):
        command(act)
    return top


def main() -> int:
    """Run a command; an expected failure is one message, not a stack trace."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a console that has no ✓ shows ? in its place
    os.environ.pop("MPLBACKEND", None)  # of an editor or a desktop: figures here are drawn without a window
    options = parser().parse_args()
    try:
        give_home()
        ensure(sys.argv[1:])
        settle()
    except (InstallError, OSError) as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n✗ Interrupted. What is installed stays; run the same command to go on.", file=sys.stderr)
        return 130
    from helpers.files import LabError

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        return options.act(options)
    except LabError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if not missing("gguf"):
            raise
        lacking = f"{', '.join(missing('gguf'))} to import {error.name}"
        print(f"✗ This command needs {lacking}. A C++ compiler builds it ({COMPILER}).", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n✗ Interrupted. Finished stages are kept; run the same command to go on.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
