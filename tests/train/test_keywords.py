"""Every keyword that helpers and notebooks pass to a library is held against the library that is installed: a
release that renamed one is then a failed test, and not a reader's failed cell.

The calls are read from the code and not run. What reaches a call as `**more` is looked up where the file
builds it.
"""

import ast
import importlib
import inspect
import re
from functools import reduce
from importlib.util import find_spec
from pathlib import Path

import llama_cpp
import pytest
import transformers
import trl
from transformers import (
    GenerationConfig,
    Lfm2ForCausalLM,
    Lfm2Model,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import TransformersKwargs

from helpers import notebooks, train
from helpers.files import ROOT
from helpers.train.hardware import choose_hardware

LIBRARIES = [name for name in ("unsloth", "trl", "transformers", "peft", "llama_cpp") if find_spec(name)]
# Ours hand on to TRL's what they are given; kept here before Unsloth puts its own in their place.
TRAINERS = {name: getattr(trl, name) for name in ("SFTTrainer", "DPOTrainer", "GRPOTrainer")}
TOKENIZER = transformers.PreTrainedTokenizerFast
KINDS = {  # what a variable of this name holds
    "tokenizer": (TOKENIZER,),
    "network": (Lfm2ForCausalLM,),
    "model": (Lfm2ForCausalLM, llama_cpp.Llama),
    **dict.fromkeys(("llm", "llama", "_llama", "wrong"), (llama_cpp.Llama,)),
}
if "unsloth" in LIBRARIES:
    KINDS["FastLanguageModel"] = (train.import_unsloth(),)
READERS = {  # a library's call that takes `**kwargs` hands them to these, which read them by name
    "from_pretrained": (PreTrainedModel.from_pretrained, PreTrainedTokenizerBase.from_pretrained),
    "from_config": (PreTrainedModel._from_config,),
    "generate": (GenerationConfig, Lfm2ForCausalLM.forward),
    "forward": (Lfm2ForCausalLM.forward, Lfm2Model.forward, TransformersKwargs),
}


def accepts(target, keyword):
    """Is it a parameter of `target`, or named where its `**kwargs` are read?"""
    parameters = inspect.signature(target).parameters
    if keyword in parameters:
        return True
    if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return False
    own = target.__mro__[:-1] if inspect.isclass(target) else (target,)
    texts = [inspect.getsource(one) for one in READERS.get(target.__name__, own)]
    return any(re.search(rf"\b{keyword}\b", text) for text in texts)


def library(name):
    return (name or "").split(".")[0] in LIBRARIES


def strings(node):
    return [
        one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)
    ]


class File:
    """A file's calls of the libraries, with the keywords of each."""

    def __init__(self, text):
        self.nodes, self.imported = list(ast.walk(ast.parse(text))), {}
        for node in self.nodes:
            if isinstance(node, ast.ImportFrom) and library(node.module):
                module = importlib.import_module(node.module)
                self.imported |= {one.asname or one.name: getattr(module, one.name) for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module == "helpers.train":
                names = [one.name for one in node.names if one.name in TRAINERS]
                self.imported |= {name: TRAINERS[name] for name in names}
            elif isinstance(node, ast.Import):
                for one in filter(lambda one: library(one.name), node.names):
                    self.imported[one.asname or one.name] = importlib.import_module(one.name)

    def calls(self):
        """(line, targets, keywords): one of the targets must accept every keyword."""
        for node in self.nodes:
            if isinstance(node, ast.Call) and node.keywords and (targets := self.targets(node.func)):
                yield node.lineno, targets, {key for one in node.keywords for key in self.keywords(one)}

    def targets(self, function):
        """What a call may go to: an imported object, or what a variable of that name holds."""
        dotted = ast.unparse(function)
        if not re.fullmatch(r"[\w.]+", dotted):  # a method of what another call returns
            return []
        *owner, name = dotted.split(".")
        first, *rest = dotted.split(".")
        if first in self.imported:
            return [reduce(getattr, rest, self.imported[first])]
        if name in ("tokenizer", "model", "network"):  # tokenizer(…), loaded.model(…)
            return [TOKENIZER.__call__ if name == "tokenizer" else Lfm2ForCausalLM.forward]
        kinds = KINDS.get(owner[-1], ()) if owner else ()
        return [getattr(one, name) for one in kinds if hasattr(one, name)]

    def keywords(self, keyword):
        """The names in one `name=value` or `**value` of a call."""
        text = ast.unparse(keyword.value)
        if keyword.arg:
            return {keyword.arg}
        if "machine(" in text:
            return MACHINE
        return set(choose_hardware().arguments()) if "hardware.arg" in text else set(self.built(text))

    def built(self, name):
        """Keys of the dictionaries that the file assigns to `name`, or gives to a function as its `**name`."""
        for node in self.nodes:
            if isinstance(node, ast.Assign) and name in map(ast.unparse, node.targets):
                yield from self.keys(node.value, name)
            elif isinstance(node, ast.FunctionDef) and node.args.kwarg and node.args.kwarg.arg == name:
                named = {one.arg for one in (*node.args.args, *node.args.kwonlyargs)}
                for call in self.nodes:
                    if isinstance(call, ast.Call) and ast.unparse(call.func) == node.name:
                        yield from {one.arg for one in call.keywords if one.arg} - named

    def keys(self, value, name):
        """The keys that an expression gives a dictionary: {"a": 1, **b}, dict.fromkeys(("a", "b"), 1) …"""
        for node in ast.walk(value):
            if isinstance(node, ast.Dict):
                for key, inner in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant):
                        yield key.value
                    elif key is None and ast.unparse(inner) != name:
                        yield from self.built(ast.unparse(inner))
            elif isinstance(node, ast.DictComp):
                yield from strings(node.generators[0].iter)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "dict.fromkeys":
                yield from strings(node.args[0])


PROFILES = [train.profile_named(name) for name in ("nano", "colab", "gpu")]
TASKS = ("sft", "cpt", "dpo", "grpo", "grid")
MACHINE = {key for one in PROFILES for task in TASKS for key in train.machine(one, task)}


def code():
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        yield path, path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        yield path, "\n".join(cell.source for cell in notebooks.code_cells(notebooks.read(path)))


@pytest.fixture(scope="module")
def calls():
    """(place, targets, keywords) of every call of a library in helpers and notebooks."""
    found = []
    for path, text in code():
        file = File(text)
        found += [(f"{path.name}, line {line}", *more) for line, *more in file.calls()]
    return found


def test_every_keyword_that_we_pass_exists_in_the_installed_library(calls):
    refused = [
        f"{place}: {targets[0].__qualname__} does not take {', '.join(sorted(keywords))}"
        for place, targets, keywords in calls
        if not any(all(accepts(target, one) for one in keywords) for target in targets)
    ]
    assert not refused, "\n".join(refused)


def test_the_calls_of_every_library_are_among_those_looked_at(calls):
    """A reader of code that finds nothing would accept everything."""
    modules = {target.__module__.split(".")[0] for _, targets, _ in calls for target in targets}
    assert modules >= {"peft", "transformers", "llama_cpp"}
    names = {target.__qualname__.removeprefix("Unsloth") for _, targets, _ in calls for target in targets}
    assert names >= {
        "SFTConfig",
        "DPOConfig",
        "GRPOConfig",
        "SFTTrainer",
        "DPOTrainer",
        "GRPOTrainer",
        "LoraConfig",
    }
    assert names >= {"Llama", "Llama.create_chat_completion", "GenerationMixin.generate"}
    everything = {one for _, _, keywords in calls for one in keywords}
    assert everything >= {"max_length", "loss_weights", "steps_per_generation", "repeat_penalty", "use_cpu"}


@pytest.mark.skipif("unsloth" not in LIBRARIES, reason="Unsloth is not installed here: `make test-unsloth`")
@pytest.mark.parametrize(
    ("file", "kind", "method", "asked"),
    [
        ("loader.py", "FastLanguageModel", "from_pretrained", {"max_seq_length", "load_in_16bit"}),
        ("llama.py", "FastLlamaModel", "get_peft_model", {"target_modules", "lora_dropout"}),
        ("vision.py", "FastBaseModel", "get_peft_model", {"target_modules", "lora_dropout"}),
    ],
)
def test_unsloth_takes_what_we_pass_where_there_is_a_gpu_too(calls, file, kind, method, asked):
    """There it is other classes, which cannot be imported without a GPU: their source is read."""
    source = Path(find_spec("unsloth").origin).with_name("models") / file
    classes = [one for one in ast.walk(ast.parse(source.read_text())) if isinstance(one, ast.ClassDef)]
    body = next(one.body for one in classes if one.name == kind)
    taken = next(one.args.args for one in body if getattr(one, "name", "") == method)
    ours = {key for _, (one, *_), keywords in calls if one.__module__.startswith("unsloth") for key in keywords
            if one.__name__ == method}  # fmt: skip
    assert asked <= ours <= {one.arg for one in taken}


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("from trl import SFTConfig\nSFTConfig(max_length=1, max_seq_length=1)", {"max_seq_length"}),
        ("from helpers.train import SFTTrainer\nSFTTrainer(m, tokenizer=t, args=a)", {"tokenizer"}),
        ("from peft import LoraConfig\nmore = {'r': 1, 'rank': 2}\nLoraConfig(**more)", {"rank"}),
        ("def ask(**more):\n    llm.create_completion('', **more)\nask(max_tokens=1, tokens=1)", {"tokens"}),
        ("import llama_cpp\nllama_cpp.Llama('', n_context=1)", {"n_context"}),
        ("tokenizer.apply_chat_template([], add_prompt=True, tokenize=False)", {"add_prompt"}),
        ("model.generate(**{'input_ids': 1}, longest=3, max_new_tokens=3)", {"longest"}),
        ("tokenizer(text, special=True)\nloaded.model(ids=ids)", {"special", "ids"}),
    ],
)
def test_a_keyword_that_no_release_knows_is_named(text, refused):
    found = {
        one
        for _, targets, keywords in File(text).calls()
        for one in keywords
        if not any(accepts(target, one) for target in targets)
    }
    assert found == refused
