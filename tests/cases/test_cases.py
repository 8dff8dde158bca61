"""The micro-world: its shape, its Spanish, its two writers, and what the loader refuses."""

import json
import shutil
from collections import Counter

import pytest

from helpers import audit, cases
from helpers.cases.loader import load_findings
from helpers.files import DATA, LabError
from helpers.triage import LEVELS

SIGNS = list(cases.findings().values())


def test_there_are_twenty_presentations_with_four_findings_a_level():
    counts = Counter((finding.presentation, finding.level) for finding in SIGNS)
    assert len({presentation for presentation, _ in counts}) >= 20
    assert set(counts) == {(presentation, level) for presentation, _ in counts for level in LEVELS}
    assert set(counts.values()) == {4}


def test_every_finding_has_wordings_in_every_split_and_a_term():
    for finding in SIGNS:
        assert finding.term and all(finding.texts(split) for split in cases.SPLITS)


def test_accepted_levels_are_neighbours_and_danger_is_never_accepted_as_harmless():
    for rule in cases.syndromes().values():
        places = [LEVELS.index(level) for level in rule.accepted]
        assert max(places) - min(places) == len(places) - 1 <= 1, rule.key
        if rule.level == "ROJO":
            assert set(rule.accepted) <= {"ROJO", "NARANJA"}, rule.key


def test_no_wording_stands_in_two_splits_nor_has_a_near_twin_across_them():
    train = [text for finding in SIGNS for text in finding.texts("train")]
    for split in ("dev", "test"):
        held_out = [text for finding in SIGNS for text in finding.texts(split)]
        assert not {text.lower() for text in train} & {text.lower() for text in held_out}
        assert [(held_out[i], train[j]) for i, j in audit.near_pairs(held_out, train)] == []


def test_no_evaluation_prompt_repeats_a_training_prompt_even_nearly():
    train = [row.text for row in cases.write_diverse(2000, 0)]
    for split in ("dev", "test"):
        prompts = [row.text for row in cases.evaluation_prompts(split)]
        assert not set(prompts) & set(train)
        assert audit.near_pairs(prompts, train) == []


def test_the_template_writer_reaches_the_blogs_profile_without_copying():
    rows = cases.write_from_templates(10_000, seed=0)
    texts, labels = [row.text for row in rows], [row.level for row in rows]
    assert audit.duplicate_rate(texts) == pytest.approx(0.807, abs=0.01)
    for level, share in cases.BLOG_PRIOR.items():
        assert labels.count(level) / len(labels) == pytest.approx(share, abs=0.02)
    assert len(audit.conflicting(texts, labels)) > 0.5 * len(set(texts))


def test_the_duplicates_follow_from_few_templates_and_not_from_copied_rows():
    assert audit.duplicate_rate([row.text for row in cases.write_from_templates(100, seed=0)]) < 0.1


def test_the_diverse_writer_gives_unique_prompts_with_the_rubrics_labels():
    rows = cases.write_diverse(3000, seed=0)
    assert len({row.text for row in rows}) == len(rows)
    assert all(row.level == cases.findings()[row.finding].level for row in rows)
    assert [sum(row.level == level for row in rows) for level in LEVELS] == [600] * 5


def test_the_diverse_writer_deals_any_shares_exactly():
    rows = cases.write_diverse(1000, seed=0, shares=cases.BLOG_PRIOR)
    assert [sum(row.level == level for row in rows) for level in LEVELS] == [600, 150, 100, 100, 50]


def test_the_diverse_writer_says_so_when_the_world_is_too_small(monkeypatch):
    monkeypatch.setattr("helpers.cases.writers.frames", lambda voice, split: ["Motivo: {d}."])
    with pytest.raises(LabError, match="unique"):
        cases.write_diverse(2000, seed=0)


def test_both_writers_are_a_function_of_their_seed():
    assert cases.write_diverse(50, 1) == cases.write_diverse(50, 1) != cases.write_diverse(50, 2)
    assert (
        cases.write_from_templates(50, 1)
        == cases.write_from_templates(50, 1)
        != cases.write_from_templates(50, 2)
    )


def test_training_prompts_use_no_held_out_wording_or_frame():
    held_out = audit.PhraseIndex(
        text for finding in SIGNS for split in ("dev", "test") for text in finding.texts(split)
    )
    assert [
        row.text
        for row in (*cases.write_diverse(3000, 0), *cases.write_from_templates(3000, 0))
        if held_out.search(row.text)
    ] == []


def test_the_vignettes_are_of_mixed_registers_and_no_two_are_alike():
    rows = cases.vignettes()
    assert {"clinico", "coloquial", "movil"} <= {row.register for row in rows}
    assert len({row.text for row in rows}) == len(rows)


def test_the_blogs_own_prompts_are_among_the_vignettes():
    texts = {row.text: row for row in cases.vignettes()}
    assert texts["Paciente con dolor de cabeza tensional ocasional"].level == "AZUL"
    assert texts["Herida superficial en el dedo que sangra un poco"].level == "VERDE"


def test_no_vignette_is_a_templated_or_nearly_templated_prompt():
    templated = [row.text for row in cases.write_diverse(2000, 0)] + [
        row.text for row in cases.evaluation_prompts("test")
    ]
    assert audit.near_pairs([row.text for row in cases.vignettes()], templated) == []


MUTATIONS = {
    "an empty wording": (
        "      dev:\n        - ",
        "      dev:\n        - yo: ''\n        - ",
        r"field `wordings\.dev\.0",
    ),
    "a missing split": ("      dev:\n", "      later:\n", r"field `wordings\.dev`"),
    "an unknown voice": (
        "      dev:\n        - ",
        "      dev:\n        - ella: me duele\n        - ",
        r"field `wordings\.dev\.0`.*voice",
    ),
    "a country without a number": (
        "      dev:\n        - ",
        "      dev:\n        - yo JP: me duele\n        - ",
        "'JP'",
    ),
    "a level word in a wording": (
        "      dev:\n        - ",
        "      dev:\n        - yo: mancha roja\n        - ",
        "level word",
    ),
    "an unknown syndrome": (
        "    syndrome: sindrome_coronario",
        "    syndrome: mal_de_ojo",
        r"field `syndrome`.*mal_de_ojo",
    ),
    "a held-out syndrome": (
        "    syndrome: sindrome_coronario",
        "    syndrome: torsion_testicular",
        r"field `syndrome`.*held out",
    ),
    "a level of its own": (
        "    syndrome: sindrome_coronario",
        "    syndrome: sindrome_coronario\n    level: VERDE",
        r"field `level`",
    ),
    "a missing gloss": ("    gloss:", "    glos:", r"field `gloss`"),
}


@pytest.mark.parametrize("what", MUTATIONS)
def test_the_loader_names_file_entry_and_field_of(what, tmp_path):
    old, new, message = MUTATIONS[what]
    text = (DATA / "cases" / "dolor_toracico.yaml").read_text()
    assert old in text
    path = tmp_path / "dolor_toracico.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(LabError, match=message) as caught:
        load_findings(path)
    assert "dolor_toracico.yaml: entry `" in str(caught.value)


RULES = {
    "an unknown level": ("    level: ROJO", "    level: MORADO", "`accepted`.*MORADO"),
    "a level outside its set": (
        "    accepted: [ROJO]",
        "    accepted: [VERDE]",
        "`level`.*outside its accepted set",
    ),
    "levels in the wrong order": (
        "    accepted: [ROJO, NARANJA]",
        "    accepted: [NARANJA, ROJO]",
        "`accepted`.*most to least",
    ),
    "an emergency that need not call": ("    call_now: true", "    call_now: false", "`call_now`.*ROJO"),
    "a call that an accepted level would put after the journey": (
        "    accepted: [ROJO, NARANJA]",
        "    accepted: [ROJO, NARANJA, AMARILLO]",
        "`accepted`.*AMARILLO sends the person travelling",
    ),
    "a source that is not listed": ("    source: erc_2021", "    source: hearsay", "`source`.*hearsay"),
    "first aid that is not listed": (
        "    first_aid: compresiones",
        "    first_aid: rezar",
        "`first_aid`.*rezar",
    ),
    "a source without a year": (", year: 2021,", ",", "`year`"),
}


@pytest.mark.parametrize("what", RULES)
def test_the_table_of_syndromes_is_refused_with_file_entry_and_field_for(what, tmp_path):
    old, new, message = RULES[what]
    text = (DATA / "syndromes.yaml").read_text()
    assert old in text
    path = tmp_path / "syndromes.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(LabError, match=message) as caught:
        cases.load_syndromes(path, DATA / "first_aid.yaml")
    assert "syndromes.yaml: entry `" in str(caught.value)


def test_a_syndrome_that_may_be_trained_on_is_refused_among_the_held_out(tmp_path):
    path = tmp_path / "held.yaml"
    path.write_text("ictus:\n  gloss: stroke\n  wordings:\n    - yo: se me tuerce la boca\n")
    with pytest.raises(LabError, match=r"held\.yaml: entry `ictus`.*not held out"):
        cases.load_held_out(path)


def test_the_loader_names_a_duplicate_id(tmp_path):
    text = (DATA / "cases" / "dolor_toracico.yaml").read_text()
    first = next(line for line in text.splitlines() if line.startswith("  - id:"))
    second = [line for line in text.splitlines() if line.startswith("  - id:")][1]
    path = tmp_path / "x.yaml"
    path.write_text(text.replace(second, first))
    with pytest.raises(LabError, match="is already that of"):
        load_findings(path)


def test_the_loader_names_a_text_that_occurs_twice(tmp_path):
    shutil.copytree(DATA / "cases", tmp_path / "cases")
    path = tmp_path / "cases" / "zzz.yaml"
    path.write_text(
        (DATA / "cases" / "dolor_toracico.yaml").read_text().replace("id: dolor_toracico\n", "id: otro\n")
    )
    with pytest.raises(LabError, match="is already that of"):
        load_findings(*sorted((tmp_path / "cases").iterdir()))


def test_broken_yaml_is_reported_with_its_line(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("id: uno\nfindings:\n  - [\n")
    with pytest.raises(LabError, match=r"x\.yaml:\d+"):
        load_findings(path)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"syndrome": "nada"}, "syndrome"),
        ({"level": "ROJO"}, "level"),
        ({"text": " "}, "text"),
        ({"country": "QQ"}, "country"),
        ({"gloss": None}, "gloss"),
    ],
)
def test_a_malformed_vignette_is_named_by_file_entry_and_field(change, field, tmp_path):
    good = (DATA / "eval" / "vignettes.jsonl").read_text().splitlines()[:3]
    bad = {**json.loads(good[2]), **change}
    path = tmp_path / "v.jsonl"
    path.write_text("\n".join([*good[:2], json.dumps(bad)]))
    with pytest.raises(LabError, match=rf"v\.jsonl: entry `{bad['id']}`: field `{field}`"):
        cases.load_vignettes(path)


def test_a_vignette_line_that_is_not_json_is_named(tmp_path):
    path = tmp_path / "v.jsonl"
    path.write_text('{"id": ')
    with pytest.raises(LabError, match=r"v\.jsonl: entry `line 1`"):
        cases.load_vignettes(path)
