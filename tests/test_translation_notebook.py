"""Notebook 01: planted mistakes, the offline teacher's own, the sentences, tables and figure, and the idea that is defined inline."""

import ast
import dataclasses

import matplotlib

matplotlib.use("Agg")

import pytest

from helpers import lab, notebooks, show, teacher, translate
from helpers.evaluate import Rate, wilson
from helpers.lab import readings
from helpers.translate import Failed, Glossary, Problem, Row, Term, Translated, Translation, trial

SAMPLE = translate.drop_false_claims(translate.load_rows("sample").rows)[0]
SOME = SAMPLE[:25] + SAMPLE[-25:]
ROW = Row(
    "x1",
    "interaction",
    {"sentence": "Do not take more than 400 mg of acetaminophen before 10 mg of warfarin."},
    {"sentence": "No tome más de 400 mg de paracetamol antes de 10 mg de warfarina."},
)


def harmed(mistake, row=ROW):
    return mistake(row, row.reference)["sentence"]


# -------------------------------------------------------------------------------------------------------------- the trial
@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        (trial.forbidden_word, "No tome más de 400 mg de acetaminofén antes de 10 mg de warfarina."),
        (trial.lost_number, "No tome más de mg de paracetamol antes de 10 mg de warfarina."),
        (trial.left_in_english, ROW.fields["sentence"]),
        (trial.exchanged_numbers, "No tome más de 10 mg de paracetamol antes de 400 mg de warfarina."),
        (trial.opposite_word, "No tome menos de 400 mg de paracetamol antes de 10 mg de warfarina."),
        (trial.lost_no, "Tome más de 400 mg de paracetamol antes de 10 mg de warfarina."),
    ],
)
def test_a_mistake_is_planted_once_and_nothing_else_changes(mistake, expected):
    assert harmed(mistake) == expected


def test_the_last_sentence_goes_only_where_there_are_several():
    text = {"sentence": "Uno es así. Dos es así. Tres es así."}
    assert trial.lost_sentence(ROW, text)["sentence"] == "Uno es así. Dos es así."
    assert trial.lost_sentence(ROW, ROW.reference) is None


def test_a_text_that_offers_no_place_for_a_mistake_is_passed_over():
    plain = Row("x2", "interaction", {"sentence": "Rest helps."}, {"sentence": "El reposo ayuda."})
    for mistake in (
        trial.forbidden_word,
        trial.lost_number,
        trial.exchanged_numbers,
        trial.opposite_word,
        trial.lost_no,
        trial.correct_synonym,
    ):
        assert mistake(plain, plain.reference) is None
    assert {found.key for found in translate.put_on_trial([plain])} == {"left_in_english"}


def test_every_planted_mistake_changes_the_text_and_stays_in_its_columns():
    for found in translate.put_on_trial(SOME, lambda row, spanish: False):
        for row, made in found.examples:
            assert made != row.reference and set(made) == set(row.reference)
        assert len(found.missed()) == len(found.examples)


def test_the_checks_notice_what_they_were_written_for_and_are_blind_to_a_lost_no():
    found = {one.key: one for one in translate.put_on_trial(SOME)}
    for key in ("forbidden_word", "lost_number", "left_in_english"):
        assert sum(found[key].caught) >= 0.9 * len(found[key].caught) and found[key].group == "looked for"
    assert not any(found["lost_no"].caught) and found["lost_no"].group == "not looked for"
    assert found["lost_no"].chrf_lost < 5 < found["left_in_english"].chrf_lost
    assert set(found["lost_no"].missed()[0]) == {"id", "English", "before", "after"}


def test_correct_references_and_correct_synonyms_raise_no_alarm():
    assert not any(translate.false_alarms(SAMPLE))
    control = next(one for one in translate.put_on_trial(SAMPLE, None) if one.group == "control")
    assert not any(control.caught)


def test_false_alarms_count_a_row_once_however_many_countries_refuse_it():
    wrong = dataclasses.replace(ROW, reference={"sentence": "No."})
    assert translate.false_alarms([wrong, ROW]) == [True, False]


# ------------------------------------------------------------------------------------------------------- the teacher's own
def test_the_offline_teachers_mistakes_are_told_from_its_clean_answers():
    endpoint = teacher.described("offline", base_url="http://127.0.0.1:1/v1")
    clean = [dict(row.reference) for row in SOME]
    right = teacher.planted_mistakes(endpoint, SOME, clean, "GT")
    clean = [dict(zip(row.fields, _in_country(row), strict=True)) for row in SOME]
    assert any(right) and not any(teacher.planted_mistakes(endpoint, SOME, clean, "GT"))
    clean[3] = trial.left_in_english(SOME[3], clean[3])
    assert teacher.planted_mistakes(endpoint, SOME, [*clean[:-1], None], "GT") == [
        place == 3 for place in range(len(SOME))
    ]
    assert teacher.planted_mistakes(teacher.described("minimax"), SOME, clean, "GT") == []


def _in_country(row):
    from helpers.teacher.offline.answers import in_country

    return [in_country(text, row.reference[column], "GT") for column, text in row.fields.items()]


# ---------------------------------------------------------------------------------------------------------- what it became
PROBLEM = Problem("numbers", "sentence", "the number “400 mg” is missing")
SPANISH = dict(ROW.reference)
DONE = Translation(
    "ES",
    [Translated(ROW, SPANISH, (PROBLEM,))],
    [],
    0.1,
    0.1,
    2,
    first=[{"sentence": harmed(trial.lost_number)}],
)
FOREIGN = dataclasses.replace(
    DONE,
    passed=[],
    failed=[Failed(ROW, (Problem("language", "sentence", "the text is in English"),), dict(ROW.fields))],
)


def test_rows_left_in_english_are_known_and_rates_can_be_narrowed():
    assert FOREIGN.foreign == {"x1"} and DONE.foreign == set()
    assert DONE.rate("numbers") == (0, 1) and DONE.rate("numbers", lambda row: False) == (0, 0)


def test_the_checks_table_says_what_was_sent_back_and_when_nothing_was_judged():
    assert "0.0%" in show.checks_table(DONE).data and "n = 1" in show.checks_table(DONE).data
    assert "no row answered" in show.checks_table(FOREIGN).data


@pytest.fixture
def shown(monkeypatch):
    seen = []
    for module in (show.figures, show.translation):
        monkeypatch.setattr(module, "display", lambda *things: seen.extend(things))
    lab.start("test")
    return seen


def test_terms_are_marked_with_their_kind_and_forbidden_words_struck_out():
    card = show.side_by_side(ROW, {"sentence": "Tome <acetaminofén> y paracetamol."}, "ES", [PROBLEM]).data
    assert (
        "<s>acetaminofén</s></mark><sup>avoid</sup>" in card and ">paracetamol</mark><sup>drug</sup>" in card
    )
    assert "&lt;" in card and "400 mg” is missing" in card


def test_the_viewer_has_a_static_side_and_a_drop_down(shown, monkeypatch):
    show.browse_translations(DONE)
    assert "drop-down" in shown[0].data and "paracetamol" in shown[1].data
    shown.clear()
    monkeypatch.delenv("TRIAGE_STATIC")
    show.browse_translations(DONE)
    assert next(thing for thing in shown if hasattr(thing, "options")).options[0][0].startswith("x1")
    show.browse_translations(FOREIGN)
    assert "nothing to show" in shown[-1].data


def test_a_row_that_was_sent_back_is_shown_before_and_after(shown):
    show.sent_back(DONE, [ROW], "numbers")
    assert "missing" in shown[1].data and "400 mg" in shown[3].data
    shown.clear()
    show.sent_back(DONE, [ROW], "glossary")
    assert "No answer failed" in shown[0].data


def test_regions_stand_side_by_side_and_a_lost_row_says_so():
    text = show.regions([ROW], {"ES": DONE, "GT": FOREIGN}, {"interaction": "sentence"}).data
    assert "paracetamol" in text and "did not pass" in text


def test_the_trials_figure_carries_stamp_caption_and_a_pattern(shown):
    trials = translate.put_on_trial(SOME[:6])
    show.trial_bars(trials, {t.key: wilson(sum(t.caught), len(t.caught)) for t in trials}, 0.9)
    figure, caption = shown
    assert any("nano" in text.get_text() for text in figure.texts) and "noticed" in caption.data
    assert len({bar.get_hatch() for bar in figure.axes[0].patches}) == len({t.group for t in trials})


# -------------------------------------------------------------------------------------------------------------- sentences
def test_nothing_dropped_is_called_suspicious():
    assert "3 of 10" in readings.dropped_text(
        10, {"false": 2, "mixture": 1}
    ) and "2 false, 1 mixture" in readings.dropped_text(10, {"false": 2, "mixture": 1})
    assert "nothing had to be dropped" in readings.dropped_text(10, {})


@pytest.mark.parametrize(
    ("first", "passed", "said"),
    [
        (90, 100, "every one came back clean"),
        (90, 95, "the rest is lost"),
        (90, 90, "mended nothing"),
        (100, 100, "Nothing had to be sent back"),
    ],
)
def test_sending_back_is_praised_only_for_what_it_mended(first, passed, said):
    text = readings.checks_text(wilson(first, 100), wilson(passed, 100), wilson(9, 10), wilson(8, 10))
    assert said in text and "80.0%" in text


@pytest.mark.parametrize(
    ("planted", "refused", "said"),
    [
        ([True, False], [True, False], "No planted mistake got through"),
        ([True, True], [True, False], "1 planted mistakes got through"),
        ([True, False], [True, True], "1 clean answers were refused"),
        ([False, False], [False, False], "planted no mistake"),
        ([], [True], "does not say where it erred"),
    ],
)
def test_caught_mistakes_and_false_alarms_are_both_counted(planted, refused, said):
    assert said in readings.caught_text(planted, refused)


def test_refused_references_are_not_hidden():
    assert "No correct reference" in readings.alarms_text(wilson(0, 50))
    assert "are refused**" in readings.alarms_text(wilson(5, 50))


def made(group, name, hits, n, lost=1.0):
    rows = [dataclasses.replace(ROW, id=f"r{place}") for place in range(n)]
    one = translate.Trial(name, group, [place < hits for place in range(n)], [(row, {}) for row in rows])
    one.__dict__["chrf"] = [100 - lost] * n
    return one


def told(*trials):
    return readings.trial_text(trials, {t.key: wilson(sum(t.caught), len(t.caught)) for t in trials})


def test_the_trial_reading_follows_what_was_noticed_and_what_chrf_saw():
    known, synonym = (
        made("looked for", "a number lost", 98, 100),
        made("control", "no mistake: a correct synonym", 0, 50, 2.0),
    )
    blind = told(known, made("not looked for", "a “no” lost", 0, 100), synonym)
    assert (
        "Hardly ever noticed: a “no” lost" in blind
        and "chrF is no help" in blind
        and "2 of 100 times a number lost" in blind
    )
    assert "chrF falls by 9.0" in told(known, made("not looked for", "a “no” lost", 0, 100, 9.0), synonym)
    seen = told(
        made("looked for", "a number lost", 100, 100), made("not looked for", "a “no” lost", 97, 100), synonym
    )
    assert "went unseen" in seen and "do not differ" in seen and "got through" not in seen


def test_pooling_counts_mistakes_and_resamples_rows():
    rate = readings.pooled(
        [made("looked for", "a number lost", 5, 10), made("not looked for", "a “no” lost", 0, 10)]
    )
    assert rate.n == 20 and rate.value == 0.25 and rate.low < 0.25 < rate.high


def test_chrf_is_no_evidence_offline_and_needs_a_reference():
    low, high = Rate(30, 9, 29, 31), Rate(70, 9, 68, 72)
    assert "says nothing about translation" in readings.chrf_text(low, high, offline=True)
    assert "The teacher translates" in readings.chrf_text(low, high, offline=False)
    assert "No better than leaving" in readings.chrf_text(low, low, offline=False)
    assert "no chrF" in readings.chrf_text(low, None, offline=False)


def test_a_notional_cost_says_so_and_an_unknown_price_too():
    assert "$2.50 for 10,000" in readings.cost_text(
        0.25, 10_000, "x", True
    ) and "Notional" in readings.cost_text(0.25, 10_000, "x", True)
    assert "what MiniMax M2.5 charged" in readings.cost_text(0.25, 10_000, "MiniMax M2.5", False)
    assert "unknown" in readings.cost_text(None, 10_000, "x", False)


def test_regional_words_are_announced_only_when_there_are_some():
    assert "1 of 2" in readings.regions_text(
        [{"ES": {"x": "a"}, "MX": {"x": "b"}}, {"ES": {"x": "a"}, "MX": {"x": "a"}}]
    )
    assert "no regional word" in readings.regions_text([{"ES": {"x": "a"}, "MX": {"x": "a"}}])


def test_the_summary_says_what_this_run_showed():
    trials = [made("looked for", "a number lost", 98, 100), made("not looked for", "a “no” lost", 0, 100)]
    text = readings.translation_summary(wilson(9, 10), wilson(10, 10), trials, 0.28)
    assert "98%" in text and "$0.28" in text and "100% after one more" in text
    flat = readings.translation_summary(
        wilson(9, 10), wilson(9, 10), [trials[0], made("not looked for", "a “no” lost", 98, 100)], None
    )
    assert "no clear difference" in flat and "no more after sending back" in flat and "$" not in flat


# ------------------------------------------------------------------------------------------------------------- the idea inline
def _inline():
    chapter = next(one for one in notebooks.chapters() if one.name == "01_translation")
    for cell in notebooks.read(chapter.path).cells:
        if cell.cell_type == "code" and "def broken_terms" in cell.source:
            space = {}
            tree = ast.parse(cell.source)
            tree.body = [node for node in tree.body if not isinstance(node, ast.For)]
            exec(compile(tree, "01", "exec"), space)
            return space
    raise AssertionError("notebook 01 no longer defines broken_terms")


def test_the_glossary_idea_of_notebook_01_agrees_with_the_helper():
    space = _inline()
    terms = Glossary(
        [Term("term", *(tuple(term[side]) for side in ("en", "es", "avoid"))) for term in space["toy_terms"]]
    )
    texts = [
        (space["toy"], f"Con {drug} acuda a {place}.")
        for drug in ("paracetamol", "Tylenol")
        for place in ("urgencias", "la ER", "casa")
    ]
    for row in SAMPLE:
        for spanish in filter(
            None, (row.reference, trial.forbidden_word(row, row.reference), trial.lost_no(row, row.reference))
        ):
            texts += [(row.fields[column], spanish[column]) for column in row.fields]
    found = 0
    for english, spanish in texts:
        helper = {
            term.en[0]
            for term in terms.used(english)
            if translate.glossary_problems(english, spanish, "ES", Glossary([term]))
        }
        assert set(space["broken_terms"](english, spanish, space["toy_terms"])) == helper, (english, spanish)
        found += len(helper)
    assert found > 10
