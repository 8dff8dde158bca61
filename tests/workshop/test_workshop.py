"""What a class gets: pages without solutions, a guide whose wrong answers are wrong, plans that fit, one zip."""

import ast
import re
import zipfile
from unittest.mock import MagicMock

import exercises
import nbformat
import pytest

from helpers import install, notebooks, workshop
from helpers.files import ROOT, LabError, write_json
from helpers.machines import InstallError
from helpers.workshop import guide, pack, pages, plans

CHAPTERS = notebooks.PLAN
EXERCISES = {
    exercise.key: exercise
    for chapter in CHAPTERS
    for exercise in workshop.exercises(chapter, plans.page(chapter))
}
MISTAKES = workshop.mistakes()


@pytest.fixture(params=CHAPTERS, ids=lambda chapter: chapter.name)
def chapter(request):
    return request.param


def test_a_students_page_has_no_solution_and_no_output(chapter):
    page = plans.page(chapter)
    edition = workshop.student(chapter, page)
    text = nbformat.writes(edition)
    assert "<details>" not in text and '"solution:' not in text
    assert page == notebooks.read(chapter.path), "the page itself was changed"
    assert [cell.source for cell in notebooks.code_cells(edition)] == [
        cell.source for cell in notebooks.code_cells(page)
    ]
    left = [cell for cell in notebooks.code_cells(edition) if cell.outputs or cell.execution_count]
    assert chapter.profile != "nano" or left == []


def test_a_page_that_no_class_runs_keeps_its_outputs_but_not_those_of_exercises():
    shown = nbformat.v4.new_output("stream", text="shown")
    cells = [nbformat.v4.new_code_cell("1", outputs=[shown]) for _ in range(2)]
    cells[1].metadata["tags"] = ["exercise:one"]
    read_only = notebooks.Chapter("98_long", "", "", profile="pocket")
    edition = workshop.student(read_only, nbformat.v4.new_notebook(cells=cells))
    assert [len(cell.outputs) for cell in edition.cells] == [1, 0]


def test_a_folded_answer_gives_way_to_a_line_for_the_students_own():
    cell = nbformat.v4.new_markdown_cell("**1. Explain.** Why?\n\n<details>\nSo.\n</details>\n\n## Next")
    edition = workshop.student(CHAPTERS[0], nbformat.v4.new_notebook(cells=[cell]))
    assert edition.cells[0].source == "**1. Explain.** Why?\n\n*Your answer:*\n\n## Next"


def test_every_notebook_has_exercises_of_the_three_kinds(chapter):
    page = plans.page(chapter)
    found = workshop.exercises(chapter, page)
    assert len(found) >= 2
    assert {exercise.kind for exercise in found} == set(pages.KINDS)
    tags = [tag for cell in page.cells for tag in cell.metadata.get("tags", [])]
    assert [f"exercise:{one.key}" for one in found if one.kind == "code"] == [
        tag for tag in tags if tag.startswith("exercise:")
    ]
    for exercise in found:
        assert exercise.asks, exercise
        assert exercise.solution or exercise.kind == "change", exercise


def test_prose_and_code_are_counted_under_the_headings_they_stand_under():
    cells = [
        nbformat.v4.new_markdown_cell("# T\n\none two\n\n## A\n\nthree\n<details>not these</details>"),
        nbformat.v4.new_code_cell("x = 1\n\ny = 2"),
        nbformat.v4.new_markdown_cell("four five\n\n## B\n\n## C\n\nsix"),
    ]
    found = workshop.sections(nbformat.v4.new_notebook(cells=cells))
    assert found == {
        "": pages.Section(4, 0),
        "A": pages.Section(3, 2),
        "B": pages.Section(),
        "C": pages.Section(1, 0),
    }


# common wrong answers
def test_every_exercise_has_common_wrong_answers_and_nothing_else_has():
    assert set(MISTAKES) == set(EXERCISES)
    for key, wrong in MISTAKES.items():
        asks_for_code = EXERCISES[key].kind == "code"
        assert len(wrong) >= 2 or not asks_for_code, key
        assert all(bool(one.code) != bool(one.answer) for one in wrong), key
        assert all(bool(one.code) == asks_for_code for one in wrong), key


WRONG = [
    pytest.param(name, one.code, id=f"{name}-{place}")
    for name, wrong in MISTAKES.items()
    for place, one in enumerate(wrong)
    if one.code
]


@pytest.mark.parametrize(("name", "code"), WRONG)
def test_a_common_wrong_answer_is_rejected_with_a_message_about_the_answer(name, code):
    space = {}
    exec(compile(ast.parse(code), name, "exec"), space)
    found = exercises.problems(name, space[name])
    assert found, "the check takes it for right"
    assert not re.match(r"\w+(Error|Exception): ", found[0]), "it only shows that the code fails"


# plans and the guide
def test_every_plan_fits_its_time():
    for name, plan in workshop.all_plans().items():
        spent = sum(sum(workshop.minutes(step).values()) for step in plan.steps)
        assert 0.8 * plan.minutes <= spent <= plan.minutes, (name, spent)


def test_the_day_is_the_course_that_the_readme_names():
    named = re.search(r"A course of a day does (.*?);", (ROOT / "README.md").read_text())[1]
    steps = workshop.all_plans()["day"].steps
    assert [step.notebook for step in steps if step.notebook] == re.findall(r"\d\d", named)


def test_a_step_takes_its_run_its_reading_and_its_exercises():
    pace, step = workshop.rule(), plans.Step(notebook="04", exercises=(1, 2))
    found = workshop.minutes(step)
    assert found["exercises"] == 2 * pace.exercise_minutes
    assert found["running"] == workshop.measured(plans.chapter_of("04")).seconds / 60
    less = workshop.minutes(step.model_copy(update={"leave_out": ("The data",)}))
    assert less["reading"] < found["reading"] and less["running"] == found["running"]


@pytest.mark.parametrize("step", [{"leave_out": ("No such section",)}, {"exercises": (99,)}])
def test_a_plan_that_names_what_is_not_on_the_page_is_refused(step):
    with pytest.raises(LabError, match=r"workshop.yaml: 04_imbalanced_sft has no"):
        workshop.minutes(plans.Step(notebook="04", **step))


def test_own_minutes_take_the_place_of_the_shipped_ones(tmp_path):
    chapter = plans.chapter_of("04")
    assert workshop.measured(chapter).seconds > 60
    own = {
        "machine": "mine",
        "measurements": {f"series.{chapter.name}.seconds": {"value": 7.0}},
        "sections": {chapter.name: {"The data": 6.0}},
    }
    write_json(tmp_path / "build" / "results" / "nano.json", own)
    assert workshop.measured(chapter) == plans.Measured(7.0, {"The data": 6.0}, "mine")
    text = guide._chapter(chapter)
    assert "Running: 0.1 minutes" in text
    assert re.search(r"^\| The data \| 0\.1 \| \d+ \|$", text, re.MULTILINE)
    assert "| The trainer | not measured |" in text


def test_measured_sections_are_sections_of_the_page_and_make_up_the_whole(chapter):
    times = workshop.measured(chapter)
    if times.sections:
        assert set(times.sections) <= set(workshop.sections(plans.page(chapter)))
        assert sum(times.sections.values()) == pytest.approx(times.seconds, rel=0.1)


def test_the_guide_holds_every_plan_question_solution_and_wrong_answer():
    text = workshop.guide_text()
    for name in workshop.all_plans():
        assert f"## Plan: {name}" in text
    for chapter in CHAPTERS:
        assert chapter.question in text
    for key, exercise in EXERCISES.items():
        assert exercise.solution in text, key
        assert all(one.shows in text for one in MISTAKES[key]), key
    assert "Exercises 2, 4. Checkpoint: sft-imbalanced." in text
    assert all(workshop.measured(one).machine in text for one in CHAPTERS)


# the zip
@pytest.fixture
def small(tmp_path):
    """A checkout and a build folder of a few files, and what `write` and `wheels` would have put there."""
    root, build = tmp_path / "checkout", tmp_path / "build"
    stage = build / "stages" / "nano" / "sft-one-s0-abc"
    inside = {
        root: ("README.md", "helpers/a.py", "helpers/__pycache__/a.pyc", "data/b.yaml", "tests/test_c.py"),
        root / "tests" / "exercises": ("__init__.py",),
        build / "workshop": ("notebooks/00.ipynb", "wheels/one-1-py3-none-any.whl", "guide.md"),
        stage: ("manifest.json", "model.safetensors"),
        build / "stages" / "nano": (".sft-one.lock", "sft-two-s0-def.partial/model.safetensors"),
    }
    for folder, names in inside.items():
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
    return root, build / "workshop"


def test_the_zip_holds_the_students_pages_wheels_and_whole_checkpoints_and_no_guide(small):
    root, out = small
    with zipfile.ZipFile(workshop.pack_zip(out, root)) as archive:
        names = {name.removeprefix("triage-lab-workshop/") for name in archive.namelist()}
    assert names == {
        *("START.md", "README.md", "helpers/a.py", "data/b.yaml", "tests/exercises/__init__.py"),
        *("notebooks/00.ipynb", "wheels/one-1-py3-none-any.whl"),
        *(f"build/stages/nano/sft-one-s0-abc/{name}" for name in ("manifest.json", "model.safetensors")),
    }
    assert "sft-one-s0-abc." in workshop.checkpoints()


def test_the_start_page_is_two_commands_and_leaves_out_what_was_not_packed():
    commands = re.findall(r"```bash\n(.*)\n```", pack.start_page(gguf=True))
    assert commands == [pack.MAKE, ".venv/bin/python -m helpers lab"]
    assert "--no-index" in pack.MAKE
    assert "\nTRIAGE_GGUF=0 .venv/bin/python -m helpers lab\n" in pack.start_page(gguf=False)


def test_the_wheels_are_those_of_this_environment_and_llama_cpp_is_not_taken_from_a_cache(
    monkeypatch, tmp_path
):
    calls = []
    monkeypatch.setattr(install, "pip", lambda *arguments, act: calls.append((act, arguments)))
    monkeypatch.setattr(install, "wanted_extras", lambda: ("dev", "gguf"))
    monkeypatch.setattr(pack.metadata, "version", lambda _: "9.9+cpu")
    workshop.wheels(tmp_path / "wheels")
    (first, own), (second, built) = calls
    assert first == second == "wheel"
    assert "torch==9.9+cpu" in own and "--no-cache-dir" not in own
    assert "--no-cache-dir" in built and any(one.startswith("llama-cpp-python") for one in built)
    assert not any(one.startswith("torch") for one in built)
    wanted = (tmp_path / "wheels" / "requirements.txt").read_text().splitlines()
    assert "torch==9.9+cpu" in wanted and any(row.startswith("llama-cpp-python>") for row in wanted)


def test_wheels_that_cannot_be_had_are_one_message(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise InstallError("The package index could not be reached.")

    monkeypatch.setattr(install, "pip", refuse)
    with pytest.raises(LabError, match=r"could not be collected.*PIP_EXTRA_INDEX_URL"):
        workshop.wheels(tmp_path / "wheels")


def test_a_run_times_every_section_wherever_its_heading_stands(monkeypatch, tmp_path):
    """Headings below other text of their cell were not seen once, and their time went to the section above."""
    cells = [
        nbformat.v4.new_markdown_cell("# T\n\n## A"),
        nbformat.v4.new_code_cell("1"),
        nbformat.v4.new_markdown_cell("What A said.\n\n## B\n\n### Not a section"),
    ]
    page = notebooks.Chapter(str(tmp_path / "page"), "", "")
    (tmp_path / "page.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook(cells=cells)))
    monkeypatch.setattr(notebooks, "NotebookClient", MagicMock())
    told = []
    seconds = notebooks.execute(page, tmp_path / "out.ipynb", told.append)
    assert list(seconds) == ["", "A", "B"]
    assert [line.split()[-1] for line in told] == ["A", "B"]
