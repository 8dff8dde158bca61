"""Rewards: what each answer is paid, who can cheat, and what TRL is given."""

import dataclasses
import inspect
import itertools
import math
import re
import time

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from trl.trainer import utils as trl_utils

from helpers import rewards
from helpers.cases import Example, evaluation_prompts, vignettes
from helpers.evaluate import COSTS
from helpers.evaluate.scoring import cost, distance
from helpers.files import LabError
from helpers.rewards import BLOG, CALIBRATED, NAIVE, REWARDS, TERMS, Reward
from helpers.triage import LEVELS, PARTS, countries, parse, render

ITEMS = (*vignettes(), *evaluation_prompts("test"))
every_reward = pytest.mark.parametrize("reward", REWARDS.values(), ids=REWARDS)
some_level = st.sampled_from(LEVELS)
some_country = st.sampled_from(list(countries()))
some_parts = st.sets(st.sampled_from(PARTS))
some_item = st.sampled_from(ITEMS)
_PIECES = [
    "Nivel de Urgencia: ROJO",
    "azul",
    "<think>",
    "</think>",
    "Qué hacer: ir.",
    "Emergencias: 112",
    "no sustituye",
    "\n",
    ":",
]
some_text = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(_PIECES), max_size=8).map(" ".join))


def _person(level="AZUL", country="ES", accepted=None):
    return Example("me duele", level, accepted or (level,), country)


def _answer(level, country="ES", parts=PARTS):
    return render(level, country, parts=parts)


def _call(reward, answers, **more):
    """Call a reward as `GRPOTrainer._calculate_rewards` does, with all that it passes."""
    n = len(answers)
    columns = {
        "accepted": [["AZUL"]] * n,
        "country": ["ES"] * n,
        "level": ["AZUL"] * n,
        "finding": [None] * n,
    } | more
    return reward(
        prompts=[[{"role": "user", "content": "me duele"}]] * n,
        completions=answers,
        completion_ids=[[1, 2]] * n,
        trainer_state=object(),
        log_extra=lambda column, values: None,
        **({"log_metric": lambda name, value: None} | columns),
    )


# -------------------------------------------------------------------------------------- the three price lists
@given(some_item, some_level)
def test_naive_pays_for_urgency_at_least_that_of_the_truth_and_for_nothing_else(item, level):
    assert NAIVE.of(item, f"Nivel de Urgencia: {level}") == (1.0 if distance(item, level) >= 0 else -1.0)
    assert NAIVE.of(item, _answer(level, item.country)) == NAIVE.of(item, f"Nivel de Urgencia: {level}")
    assert NAIVE.of(item, "no sé") == -1.0


@given(some_item, some_level, some_country, some_parts)
def test_blog_pays_the_right_level_and_the_disclaimer_and_charges_one_cell_of_over_triage(
    item, level, country, parts
):
    form = 0.3 if "disclaimer" in parts else -0.5
    expected = 1.0 if level in item.accepted else -0.5 if (item.level, level) == ("AZUL", "ROJO") else 0.0
    assert BLOG.of(item, _answer(level, country, parts)) == pytest.approx(expected + form)


def test_blog_does_not_price_under_triage_at_all():
    assert all(BLOG.of(_person("ROJO"), _answer(level)) == 0.3 for level in LEVELS[1:])


@given(some_item, some_level)
def test_calibrated_charges_what_the_evaluation_calls_cost(item, level):
    bill = CALIBRATED.parts_of(item, _answer(level, item.country))
    assert bill["under"] + bill["over"] == pytest.approx(-0.25 * cost(item, level))
    assert bill["correct"] == (level in item.accepted)
    assert CALIBRATED.under / CALIBRATED.over == COSTS["under"] / COSTS["over"] == 3


@given(some_item, some_parts, some_parts)
def test_no_parts_make_a_wrong_level_pay_more_than_the_right_one_in_calibrated(item, few, many):
    right = [
        CALIBRATED.of(item, _answer(level, item.country, few)) for level in LEVELS if level in item.accepted
    ]
    wrong = [
        CALIBRATED.of(item, _answer(level, item.country, many))
        for level in LEVELS
        if level not in item.accepted
    ]
    assert max(wrong) < min(right)


@given(some_item, some_level, some_parts)
def test_nothing_clear_pays_less_than_the_worst_clear_level_in_calibrated(item, level, parts):
    unclear = _answer("ROJO", item.country) + "\nNivel de Urgencia: AZUL"
    assert CALIBRATED.of(item, unclear) < CALIBRATED.of(item, _answer(level, item.country, parts))


@given(some_item, some_level, some_parts, st.sampled_from(PARTS))
def test_leaving_a_part_out_never_pays_in_calibrated(item, level, parts, part):
    having, lacking = (_answer(level, item.country, chosen) for chosen in (parts | {part}, parts - {part}))
    on_the_road = (
        part == "actions" and item.call_now and not parse(having).calls
    )  # who must call and is not told so has no action to lose
    assert CALIBRATED.of(item, lacking) < CALIBRATED.of(item, having) or on_the_road


@given(some_item)
def test_a_level_further_off_on_the_same_side_pays_less_in_calibrated(item):
    for near, far in itertools.permutations(LEVELS, 2):
        one, other = distance(item, near), distance(item, far)
        if one * other >= 0 and abs(one) < abs(other):
            assert CALIBRATED.of(item, _answer(far)) < CALIBRATED.of(item, _answer(near))


@given(some_item)
def test_the_reference_answer_earns_the_most_there_is_in_every_reward(item):
    assert [reward.of(item, item.answer) for reward in (NAIVE, BLOG, CALIBRATED)] == pytest.approx(
        [1.0, 1.3, 1.6]
    )


@every_reward
@given(item=some_item, text=some_text)
def test_the_bill_has_a_line_for_every_term_and_adds_up_to_the_reward(reward, item, text):
    bill = reward.parts_of(item, text)
    assert tuple(bill) == TERMS and math.fsum(bill.values()) == reward.of(item, text)
    assert not any(
        math.copysign(1, amount) < 0 for amount in bill.values() if amount == 0
    )  # no "-0.0" in a table


@every_reward
def test_each_line_of_the_bill_speaks_only_where_its_price_is_set(reward):
    texts = [_answer(level, "ES", parts) for level in LEVELS for parts in ((), PARTS)] + ["no sé"]
    spoken = {
        term
        for level in LEVELS
        for text in texts
        for term, amount in reward.parts_of(_person(level), text).items()
        if amount
    }
    assert (
        spoken
        == {
            "naive": {"urgent_enough"},
            "blog": {"correct", "over", "disclaimer"},
            "calibrated": {"correct", "under", "over", "unreadable", *PARTS},
        }[reward.name]
    )


def test_a_whole_matrix_of_cells_replaces_the_prices_of_every_level():
    table = {cell: float(number) for number, cell in enumerate(itertools.product(LEVELS, LEVELS))}
    reward = Reward("table", correct=100, under=100, over=100, cells=table)
    assert rewards.matrix(reward).tolist() == np.arange(25.0).reshape(5, 5).tolist()


def test_a_cell_never_charges_for_a_level_that_the_rubric_accepts():
    reward = Reward("r", correct=1.0, cells={("AZUL", "VERDE"): -9.0})
    assert reward.of(_person("AZUL", accepted=("VERDE", "AZUL")), "VERDE") == 1.0
    assert reward.of(_person("AZUL"), "VERDE") == -9.0


def test_a_cell_is_looked_up_by_the_primary_level_and_booked_under_the_term_it_stands_in_for():
    bill = BLOG.parts_of(_person("AZUL", accepted=("VERDE", "AZUL")), "ROJO")
    assert {term: amount for term, amount in bill.items() if amount} == {"over": -0.5, "disclaimer": -0.5}


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ({"correct": float("nan")}, "'r': every price must be a finite number"),
        ({"cells": {("AZUL", "ROJO"): float("inf")}}, "'r': every price must be a finite number"),
        ({"parts": {"number": (0.1, float("-inf"))}}, "'r': every price must be a finite number"),
        ({"under": -0.5}, "'r': `under`, `over` and `unreadable` are charged"),
        ({"cells": {("AZUL", "rojo"): -0.5}}, r"'r': `cells` names 'rojo'.*ROJO, NARANJA"),
        ({"parts": {"warning": (0.1, 0)}}, r"'r': `parts` names 'warning'.*actions, alarms"),
    ],
)
def test_prices_that_make_no_sense_are_refused(prices, message):
    with pytest.raises(LabError, match=message):
        Reward("r", **prices)


def test_a_price_list_cannot_be_changed_and_its_repr_tells_one_list_from_another():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BLOG.correct = 2.0
    assert repr(dataclasses.replace(BLOG, under=0.5)) != repr(BLOG) == repr(dataclasses.replace(BLOG))
    assert len({hash(reward) for reward in REWARDS.values()}) == 3


# ----------------------------------------------------------------------------------------- who tries to cheat
@every_reward
def test_naming_all_five_levels_pays_no_better_than_naming_none(reward):
    for level in LEVELS:
        assert reward.of(_person(level), f"Nivel de Urgencia: {', '.join(LEVELS)}") == reward.of(
            _person(level), "no sé"
        )


def test_a_disclaimer_said_twenty_times_pays_once():
    once = _answer("AZUL", parts=("disclaimer",))
    twenty = once + 20 * ("\n" + once.splitlines()[-1])
    assert all(
        reward.parts_of(_person(), twenty)["disclaimer"] == reward.parts_of(_person(), once)["disclaimer"]
        for reward in REWARDS.values()
    )


def test_a_disclaimer_in_english_does_not_count():
    text = (
        _answer("AZUL", parts=())
        + "\nNotice: this guidance does not replace the assessment of a health professional."
    )
    assert BLOG.parts_of(_person(), text)["disclaimer"] == -0.5


@pytest.mark.parametrize("text", ["", " ", "\n\t  \n", "<think>", "Nivel de Urgencia:"])
def test_an_answer_that_says_nothing_earns_the_least_there_is(text):
    assert NAIVE.of(_person(), text) == -1.0 and BLOG.of(_person(), text) == -0.5
    assert CALIBRATED.of(_person(), text) == pytest.approx(-5.1)


@every_reward
def test_what_is_only_thought_is_neither_paid_nor_charged(reward):
    whole = _answer("AZUL")
    assert reward.of(_person(), f"<think>{_answer('ROJO')}</think>\n{whole}") == reward.of(_person(), whole)
    assert reward.of(_person(), f"<think>{whole}") == reward.of(_person(), "")


@every_reward
@given(level=some_level, truth=some_level, cut=st.integers(0, 600))
def test_a_cut_answer_is_never_paid_more_than_the_whole_one_for_its_form(reward, level, truth, cut):
    whole = _answer(level)
    short = reward.parts_of(_person(truth), whole[:cut])
    full = reward.parts_of(_person(truth), whole)
    assert all(short[part] <= full[part] for part in PARTS)
    assert reward.of(_person(level), whole[:cut]) <= reward.of(_person(level), whole)


@given(some_country, some_country)
def test_another_countrys_number_is_paid_like_no_number(own, other):
    assume(not set(countries()[other].numbers) <= set(countries()[own].numbers))
    bill = CALIBRATED.parts_of(_person(country=own), _answer("AZUL", other))
    assert bill == CALIBRATED.parts_of(_person(country=own), _answer("AZUL", own, set(PARTS) - {"number"}))


def test_the_numbers_of_all_countries_at_once_are_paid_like_none():
    numbers = " o ".join(sorted({number for country in countries().values() for number in country.numbers}))
    assert CALIBRATED.parts_of(_person(), f"Emergencias: {numbers}")["number"] == -0.3


def test_headings_without_content_are_paid_like_no_headings():
    empty = "Nivel de Urgencia: AZUL\nQué hacer:\nSignos de alarma:\nAviso:\nEmergencias:"
    assert CALIBRATED.of(_person(), empty) == CALIBRATED.of(_person(), _answer("AZUL", parts=()))


@every_reward
@given(item=some_item, text=some_text)
@example(item=ITEMS[0], text="<think>")
@settings(max_examples=100)
def test_any_text_at_all_has_a_finite_reward_the_same_in_both_forms(reward, item, text):
    columns = {
        "accepted": [list(item.accepted)] * 2,
        "country": [item.country] * 2,
        "level": [item.level] * 2,
        "syndrome": [item.syndrome] * 2,
    }
    plain, chat = reward(
        prompts=["", ""], completions=[text, [{"role": "assistant", "content": text}]], **columns
    )
    assert isinstance(plain, float) and math.isfinite(plain)
    assert plain == chat == reward.of(item, text)


@pytest.mark.parametrize(
    "piece",
    ["nivel ", "que hacer: ", "no sustituye ", "<think>", "Emergencias: 1", "ROJO ", "a", "\n", "Ññ "],
)
def test_a_hundred_thousand_characters_are_priced_within_a_second(piece):
    text = (piece * 100_000)[:100_000]
    start = time.perf_counter()
    assert math.isfinite(CALIBRATED.of(_person(), text))
    assert time.perf_counter() - start < 1


@every_reward
@given(
    level=some_level,
    truth=some_level,
    parts=some_parts,
    padding=st.text("abcñ .,;\n-", max_size=80),
    times=st.integers(1, 20),
)
def test_length_never_raises_the_reward(reward, level, truth, parts, padding, times):
    person, answer = _person(truth), _answer(level, parts=parts)
    assert reward.of(person, f"{answer}\n{padding * times}") <= reward.of(person, answer)
    assert reward.of(person, "\n".join([answer] * times)) == reward.of(person, answer)


@every_reward
@given(item=some_item, more=some_text)
def test_nothing_that_is_added_to_a_perfect_answer_raises_its_reward(reward, item, more):
    assert reward.of(item, item.answer + more) <= reward.of(item, item.answer)


# -------------------------------------------------------------------------------------------- as TRL calls it
@every_reward
def test_trl_takes_a_reward_for_a_synchronous_function_of_its_own_name(reward):
    assert trl_utils.get_callable_name(reward) == reward.__name__ == reward.name
    assert not trl_utils.is_async_callable(reward) and callable(reward) and Reward.__name__ == "Reward"
    assert REWARDS[reward.name] is reward


def test_the_trainer_still_passes_what_the_tests_pass():
    """`_call` copies the call in TRL's source; if TRL changes it, this says so before a training run does."""
    from trl import GRPOTrainer

    source = inspect.getsource(GRPOTrainer._calculate_rewards)
    assert (
        "prompts=prompts, completions=completions, completion_ids=completion_ids_list, **reward_kwargs"
        in source
    )
    assert set(re.findall(r'\breward_kwargs\["(\w+)"\] =', source)) == {
        "trainer_state",
        "log_extra",
        "log_metric",
        "environments",
    }


@every_reward
def test_a_batch_is_paid_answer_by_answer(reward):
    answers = [_answer(level) for level in LEVELS]
    assert _call(reward, answers) == [reward.of(_person(), answer) for answer in answers]
    assert _call(reward, [[{"role": "assistant", "content": answer}] for answer in answers]) == _call(
        reward, answers
    )
    assert _call(reward, []) == []


def test_the_level_column_is_only_needed_where_cells_need_it():
    assert CALIBRATED(["p"], ["VERDE"], accepted=[["VERDE", "AZUL"]], country=["ES"]) == pytest.approx([0.4])
    with pytest.raises(LabError, match="'blog' needs the column `level`"):
        BLOG(["p"], ["VERDE"], accepted=[["VERDE"]], country=["ES"])


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("ROJO", "ROJO"),
        ([], ""),
        ([{}], ""),
        ([{"role": "assistant", "content": None}], ""),
        ([{"content": "ROJO"}], "ROJO"),
        (
            [
                {"role": "assistant", "content": "ROJO"},
                {"role": "tool", "content": "AZUL"},
                {"role": "assistant", "content": "ya"},
            ],
            "ROJO\nya",
        ),
    ],
)
def test_only_what_the_assistant_says_is_read(completion, text):
    assert rewards.text_of(completion) == text


@pytest.mark.parametrize("column", ["accepted", "country", "level"])
def test_a_missing_column_is_named(column):
    with pytest.raises(LabError, match=f"'blog' needs the column `{column}`.*Keep it in the dataset"):
        _call(BLOG, ["ROJO"], **{column: None})


@pytest.mark.parametrize("column", ["accepted", "country", "level"])
def test_a_column_of_another_length_is_named_with_both_lengths(column):
    with pytest.raises(LabError, match=f"'calibrated': 3 values in the column `{column}` for 2 completions"):
        _call(CALIBRATED, ["ROJO", "AZUL"], **{column: [["ROJO"]] * 3})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"accepted": [[]]}, r"accepts \[\].*list of one or more of ROJO"),
        ({"accepted": ["ROJO"]}, r"accepts 'ROJO'.*list of one or more of ROJO"),
        ({"accepted": [["rojo"]]}, r"accepts \['rojo'\]"),
        ({"level": ["rosa"]}, r"primary level 'rosa'"),
        ({"country": ["QQ"]}, r"No emergency number on file for country 'QQ'"),
    ],
)
def test_a_row_that_cannot_be_priced_is_refused(columns, message):
    with pytest.raises(LabError, match=message):
        _call(BLOG, ["ROJO"], **columns)


@every_reward
def test_the_matrix_is_what_bare_levels_earn_beside_their_form(reward):
    form = sum(absent for _, absent in reward.parts.values())
    paid = [[reward.of(_person(truth), given) - form for given in LEVELS] for truth in LEVELS]
    assert rewards.matrix(reward) == pytest.approx(np.array(paid))


# --------------------------------------------------------------------------------------- attacks in free text
@every_reward
@given(item=some_item, text=some_text)
def test_no_free_text_earns_more_than_the_right_whole_answer(reward, item, text):
    assert reward.of(item, text) <= reward.of(item, item.answer) + 1e-9


@given(item=some_item, level=some_level, text=some_text)
def test_a_wrong_level_with_anything_at_all_around_it_never_earns_what_the_right_whole_answer_does(
    item, level, text
):
    """Around it: before and after. What is read as another level, or as none, is covered too."""
    assume(level not in item.accepted)
    for answer in (f"{_answer(level, item.country)}\n{text}", f"{text}\n{_answer(level, item.country)}"):
        for reward in (BLOG, CALIBRATED):
            assert (
                reward.of(item, answer) < reward.of(item, item.answer) or parse(answer).level in item.accepted
            )


@every_reward
@given(item=some_item, text=some_text, times=st.integers(2, 20))
def test_saying_a_text_again_never_pays(reward, item, text, times):
    """Repetition adds no part that a text did not have: two halves of a heading may meet, so lines are kept
    apart.
    """
    assert reward.of(item, "\n".join([text] * times)) <= reward.of(item, f"{text}\n{text}") + 1e-9


# -------------------------------------------------------------------------------------------- rows, and apart
def test_a_row_for_grpo_holds_the_prompt_and_every_column_that_a_reward_reads():
    row, *_ = rewards.rows(ITEMS[:3])
    assert set(row) == {"prompt", *rewards.COLUMNS} and row["prompt"] == ITEMS[0].prompt
    columns = {name: [row[name]] for name in rewards.COLUMNS}
    for reward in REWARDS.values():
        assert reward(prompts=[row["prompt"]], completions=[ITEMS[0].answer], **columns) == [
            reward.of(ITEMS[0], ITEMS[0].answer)
        ]
