"""A student's test: what notebook 04 shows is enough to fine-tune a model on another task, in another folder,
without the helpers.
"""

import ast
import subprocess
import sys

import pytest

from helpers import notebooks, train
from helpers.files import DATA

TASK = """
from types import SimpleNamespace

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTTrainer

base = {base!r}
tokenizer = AutoTokenizer.from_pretrained(base)
words = {{"gato": "animal", "mesa": "cosa", "perro": "animal", "silla": "cosa"}}
data = Dataset.from_list(
    [
        {{"prompt": [{{"role": "user", "content": word}}], "completion": [{{"role": "assistant", "content": kind}}]}}
        for word, kind in words.items()
    ]
)
profile = SimpleNamespace(
    counts={{"imbalanced_epochs": 2}}, sft={{"learning_rate": 1e-3, "warmup_steps": 0}}, max_length=64
)
"""
AFTER = """
trainer.train()
assert trainer.state.global_step > 0
assert "helpers" not in __import__("sys").modules
print("trained", trainer.state.global_step)
"""


def _statements(name, *wanted):
    """The assignments and imports of a notebook's cells that give these names, in order."""
    chapter = next(one for one in notebooks.PLAN if one.name.startswith(name))
    for cell in notebooks.read(chapter.path).cells:
        if cell.cell_type != "code":
            continue
        for node in ast.parse(cell.source).body:
            if isinstance(node, ast.Assign):
                given = {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.ImportFrom):
                given = {alias.name for alias in node.names}
            else:
                given = set()
            if given & set(wanted):
                yield node


class _WithoutTheLab(ast.NodeTransformer):
    """Puts the arguments of a plain CPU in the place of `**train.machine(profile)`, as a script of one's own
    does.
    """

    MACHINE = (
        ast.parse("f(use_cpu=True, bf16=False, save_strategy='no', disable_tqdm=True, report_to=[])")
        .body[0]
        .value.keywords
    )

    def visit_Call(self, node):
        self.generic_visit(node)
        own = [one for one in node.keywords if one.arg or "train.machine" not in ast.unparse(one.value)]
        node.keywords = own + (self.MACHINE if len(own) < len(node.keywords) else [])
        return node


def test_a_script_made_of_notebook_04s_calls_alone_fine_tunes_on_another_task(tmp_path):
    lora = [ast.unparse(node) for node in _statements("04", "LoraConfig", "lora")]
    calls = [
        ast.unparse(_WithoutTheLab().visit(node))
        for node in _statements("04", "SFTConfig", "config", "trainer")
    ]
    calls = [call for call in calls if "SFTTrainer(small_model" not in call]
    assert any("LoraConfig(" in line for line in lora) and any("SFTTrainer(model" in line for line in calls)
    model = "model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora)"
    parts = [TASK.format(base=str(DATA / "nano-base")), *lora, model, *calls, AFTER]
    (tmp_path / "mine.py").write_text("\n".join(parts))
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trained" in done.stdout


@pytest.mark.parametrize("name", ["load", "machine", "SFTTrainer", "merged"])
def test_what_a_notebook_opens_with_show_source_fits_a_screen(name):
    import inspect

    assert len(inspect.getsource(getattr(train, name)).splitlines()) <= 90
