"""The audit of a reader's own data: planted faults, files as people have them, and texts that packages ship."""

import csv
import json
import random
from collections import Counter
from importlib import metadata, util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import __main__ as command_line
from helpers import audit, cases, lab, train
from helpers.audit import own, report
from helpers.audit.copies import normal
from helpers.audit.reading import Unreadable, items, rows
from helpers.files import DATA, LabError
from helpers.triage import PARTS, render

BASE = str(DATA / "nano-base")


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    """A classifier of 200 rows is quick."""
    monkeypatch.setattr(own, "SAMPLE", 200)


@pytest.fixture(scope="module")
def tokenizer():
    return train.load_tokenizer(BASE)


def _write(path, records):
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records))
    return str(path)


def _audited(path, records, **asked):
    return own.audit_file(_write(path / "rows.jsonl", records), **asked)


def _reasons(found, beginning):
    return {row for row, (_, why) in found.advice.items() if any(one.startswith(beginning) for one in why)}


# ---------------------------------------------------------------------------------------------- planted faults
@pytest.mark.slow
def test_planted_copies_near_copies_and_contradictions_are_found_and_next_to_nothing_else(tmp_path):
    rng, count = random.Random(0), 20_000
    vocabulary = [
        f"{one}{two}" for one in "bcdfglmnprst" for two in ("ala", "eno", "iru", "oste", "umbra", "ad")
    ]
    vocabulary += [one + two for one in vocabulary for two in vocabulary]
    texts = [" ".join(rng.choices(vocabulary, k=rng.randint(20, 60))) for _ in range(count)]
    labels = [rng.choice("ABC") for _ in texts]

    def changed(text):
        words = text.split()
        for place in rng.sample(range(len(words)), 2):
            words[place] = rng.choice(vocabulary)
        return " ".join(words)

    chosen = rng.sample(range(count), 3000)
    copied, near, against = chosen[:1000], chosen[1000:2000], chosen[2000:]
    planted = [(f" {texts[n].upper()}  ", labels[n]) for n in copied]
    planted += [(changed(texts[n]), labels[n]) for n in near]
    planted += [(texts[n], "ABC"["ABC".index(labels[n]) - 1]) for n in against]
    every = [*zip(texts, labels, strict=True), *planted]
    found = _audited(tmp_path, [{"text": text, "label": label} for text, label in every])
    exactly = _reasons(found, "repeats")
    nearly = _reasons(found, "nearly")
    contradicting = _reasons(found, "contradicts")
    assert len(exactly & set(range(count, count + 1000))) >= 950
    assert len(nearly & set(range(count + 1000, count + 2000))) >= 950
    assert len(contradicting & set(range(count + 2000, count + 3000))) >= 950
    assert len(nearly - set(range(count + 1000, count + 2000))) <= 0.01 * len(every)
    assert exactly <= set(range(count, count + 1000))
    partners = [int(found.advice[row][1][0].split()[-1]) - 1 for row in sorted(nearly)]
    assert partners == near, "each planted row names the row that it was made from"
    assert found.measures["label_follows"] < 0.1, "labels by lot"


def test_rows_of_punctuation_are_not_near_copies_of_each_other_or_of_nothing(tmp_path):
    found = _audited(
        tmp_path, [{"text": text} for text in ("", "----", "====", "¿?", "a.b.c/d.e.f-one-word", "…")]
    )
    assert _reasons(found, "nearly") == set()


def test_long_texts_and_texts_without_spaces_have_near_copies_too(tmp_path):
    rng = random.Random(1)
    words = [f"palabra{n}" for n in range(3000)]
    long = [" ".join(rng.choices(words, k=1000)) for _ in range(30)]
    chinese = ["".join(rng.choices([chr(0x4E00 + n) for n in range(3000)], k=60)) for _ in range(30)]
    made = [text.replace(text.split()[5], "otra", 1) for text in long] + [one[:-1] + "。" for one in chinese]
    found = _audited(tmp_path, [{"text": text} for text in (*long, *chinese, *made)])
    assert _reasons(found, "nearly repeats") == set(range(60, 120))


# --------------------------------------------------------------------------------------------- files as they are
GOOD = {
    "a byte-order mark and Windows line ends": (
        ".csv",
        b"\xef\xbb\xbftext,label\r\nhola,A\r\nadi\xc3\xb3s,B\r\n",
    ),
    "semicolons": (".csv", "text;label\nhola, tú;A\nadiós;B\n".encode()),
    "tabs": (".tsv", b"text\tlabel\nhola\tA\nadios\tB\n"),
    "a line break in quotes": (".csv", b'text,label\n"hola\n tu",A\nadios,B\n'),
    "one array": (".json", b'[{"text": "hola", "label": "A"},\n {"text": "adios", "label": "B"}]'),
    "empty lines": (".jsonl", b'{"text": "hola", "label": "A"}\r\n\r\n{"text": "adios", "label": "B"}\r\n'),
    "another name of the columns": (
        ".jsonl",
        b'{"Review": "hola", "Class": "A"}\n{"Review": "b", "Class": "B"}\n',
    ),
    "numbers as labels": (".jsonl", b'{"text": "hola", "label": 0}\n{"text": "b", "label": 1}\n'),
    "a lone surrogate": (".jsonl", b'{"text": "hola \\ud800", "label": "A"}\n{"text": "b", "label": "B"}\n'),
}
BAD = {
    "mixed encodings": (".csv", b"text,label\nhola,A\nadi\xc3\xb3s,B\nadi\xf3s,B\n", r"row 3: byte 0xf3 .*cp1252"),
    "mixed in JSON": (".jsonl", b'{"text": "a"}\n{"text": "\xf1"}\n', r"row 2: byte 0xf1"),
    "UTF-16": (".csv", "text,label\nhola,A\n".encode("utf-16"), "UTF-16"),
    "a quote that is never closed": (".csv", b'text,label\nhola,A\n"adios,B\n', "row 2: unexpected end"),
    "too many cells": (".csv", b"text,label\nhola,A\nadios,B,C\n", "row 2: 3 cells under 2 column names"),
    "half a row": (".jsonl", b'{"text": "hola"}\n{"text": "ad', "row 2: Unterminated string"),
    "a list": (".jsonl", b'{"text": "hola"}\n["adios"]\n', "row 2: an object"),
    "nothing": (".csv", b"", "has no rows"),
    "a heading alone": (".csv", b"text,label\n", "has no rows"),
    "no Parquet": (".parquet", b"PAR1 or not", "row 1: "),
    "columns that nobody knows": (".csv", b"uno,dos\n1,2\n", "--text COLUMN.*Its columns: uno, dos"),
    "a conversation that is none": (".jsonl", b'{"messages": [{"role": "user", "content": "a"}]}\n{"messages": 3}\n',
                                    "row 2: not a conversation"),
    "messages without names": (".jsonl", b'{"messages": ["hola"]}\n', "row 1: not a conversation"),
}  # fmt: skip


@pytest.mark.parametrize(("suffix", "content"), GOOD.values(), ids=GOOD)
def test_a_file_as_people_have_it_is_read(tmp_path, suffix, content):
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(content)
    found = list(items(rows(str(path)), str(path)))
    assert len(found) == 2
    assert found[0].text.startswith("hola") and found[0].label in ("A", "0")
    assert found[1].label in ("B", "1")


@pytest.mark.parametrize(("suffix", "content", "said"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_in_one_message_with_its_row(tmp_path, suffix, content, said):
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=f"(?s){said}"):
        own.audit_file(str(path))


def test_old_windows_files_are_read_when_their_encoding_is_named(tmp_path):
    path = tmp_path / "old.csv"
    path.write_bytes("text,label\r\nadiós,B\r\n".encode("cp1252"))
    assert next(rows(str(path), "cp1252"))["text"] == "adiós"
    with pytest.raises(Unreadable, match="unknown encoding"):
        next(rows(str(path), "no-such-one"))


def test_a_column_that_is_not_there_and_a_file_that_is_not_there_are_refused(tmp_path):
    path = _write(tmp_path / "a.jsonl", [{"text": "a", "label": "b"}])
    with pytest.raises(Unreadable, match=r"no column 'texto'\. Its columns: text, label"):
        own.audit_file(path, text="texto")
    with pytest.raises(Unreadable, match="chosen"):
        own.audit_file(path, pairs=True)
    with pytest.raises(Unreadable, match="no such file"):
        own.audit_file(str(tmp_path / "missing.csv"))


def test_empty_labels_and_cells_of_ten_megabytes_are_audited(tmp_path, tokenizer):
    path = tmp_path / "large.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [("text", "label"), ("largo " * 1_700_000, "A"), ("corto", ""), ("", "B")]
        )
    found = own.audit_file(str(path), lengths=own.Lengths(tokenizer, 320))
    assert [row["advice"] for row in found.rows()] == ["look", "look", "drop"]
    assert "would cut" in found.advice[0][1][0] and found.advice[1][1] == ["no label"]
    assert found.measures["unlabelled"] == pytest.approx(1 / 3)


def test_parquet_and_every_shape_of_a_row_are_recognised(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    asked, told = {"role": "user", "content": "p"}, {"role": "assistant", "content": "respuesta"}
    shapes = [
        {"prompt": [asked], "completion": [told]},
        {"prompt": "p", "completion": "respuesta"},
        {"messages": [{"role": "system", "content": "s"}, asked, told]},
        {"conversations": [{"from": "human", "value": "p"}, {"from": "gpt", "value": "respuesta"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "p"}]},
                told | {"content": [{"text": "respuesta"}]},
            ]
        },
    ]
    for number, shape in enumerate(shapes):
        path = str(tmp_path / f"{number}.parquet")
        pq.write_table(pa.Table.from_pylist([shape]), path)
        (one,) = items(rows(path), path)
        assert (one.text, one.answer) == ("p", "respuesta")


def test_blank_lines_before_an_array_of_rows_are_no_rows(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('\n  \n[{"text": "a"},\n {"text": "b"}]')
    assert [row["text"] for row in rows(str(path))] == ["a", "b"]


@pytest.mark.slow
@settings(max_examples=10)
@given(st.lists(st.tuples(st.text(), st.text(max_size=3)), min_size=1, max_size=12))
def test_any_texts_and_labels_get_one_advice_a_row_and_a_page_without_their_markup(tmp_path_factory, table):
    folder = tmp_path_factory.mktemp("any")
    records = [{"text": f"<script>{text}", "label": label} for text, label in table]
    path = folder / "any.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    found = own.audit_file(str(path))
    report.write(found, report.judged(found, report.thresholds()), folder)
    lines = [json.loads(line) for line in (folder / "rows.jsonl").open(encoding="utf-8")]
    assert [line["row"] for line in lines] == list(range(1, len(table) + 1))
    assert {line["advice"] for line in lines} <= {"keep", "drop", "look"}
    assert "<script>" not in (folder / "report.html").read_text(encoding="utf-8")
    texts = {normal(one["text"].encode(errors="replace").decode()) for one in records}
    assert round(found.measures["exact_copies"] * len(table)) == len(table) - len(texts)


# --------------------------------------------------------------------------------------------- what it forecasts
def test_the_labels_share_of_the_loss_agrees_with_what_training_did_in_notebook_04(tmp_path, tokenizer):
    examples = cases.write_from_templates(1500, seed=0)
    found = _audited(tmp_path, cases.chat_rows(examples), lengths=own.Lengths(tokenizer, 320))
    kept = {
        key: one["value"] for key, one in json.loads(lab.shipped_path().read_text())["measurements"].items()
    }
    assert found.labels == [row.level for row in examples], "read from the answers: no column names it"
    assert found.measures["label_entropy"] == pytest.approx(kept["imbalanced.label_loss"], abs=0.15)
    whole = found.measures["label_loss"] + kept["imbalanced.boilerplate_loss"]
    assert whole == pytest.approx(kept["imbalanced.final_loss"], rel=0.25)
    assert found.measures["label_follows"] < 0, "and the model had learnt nothing of the level"


def test_tokens_are_counted_as_the_chat_template_writes_them(tokenizer):
    made = cases.chat_rows(cases.write_diverse(40, 0))
    found = own.Lengths(tokenizer, 40).too_long(list(items(iter(made), "rows")))
    for place, row in enumerate(made):
        whole = tokenizer.apply_chat_template(
            row["prompt"] + row["completion"], tokenize=True, return_dict=False
        )
        assert found[place] == pytest.approx(len(whole), abs=3)


def _weak(share):
    """Pairs like notebook 08's: a whole answer against one that has each part at times."""
    rng, people = random.Random(0), cases.write_diverse(150, 100)
    held = {"disclaimer": 0.2}
    made = [
        cases.Pair(
            one,
            one.answer,
            render(
                one.level, one.country, one.picture, [p for p in PARTS if rng.random() < held.get(p, 0.6)]
            ),
        )
        for one in people
    ]
    return cases.pair_rows(made if share is None else cases.with_disclaimers(made, share, 0))


@pytest.mark.parametrize(
    ("share", "arm", "direction"), [(None, "as_described", "up"), (0.0, "absent", "down")]
)
def test_what_pairs_push_agrees_with_what_training_did_to_the_disclaimer_in_notebook_08(
    tmp_path, tokenizer, share, arm, direction
):
    kept = json.loads(lab.shipped_path().read_text())["measurements"]
    before, after = (kept[key]["value"] for key in ("sft_weak.disclaimer", f"dpo_suspect.{arm}.disclaimer"))
    assert (after > before) == (direction == "up"), "what training did"
    made = _weak(share)
    found = _audited(tmp_path, made, pairs=True, lengths=own.Lengths(tokenizer, 512))
    (pushed,) = [one for one in found.findings if one.title == "What DPO will push"]
    by_name = {line[0]: line[-1] for line in pushed.table}
    notice = next(name for name in by_name if name.startswith("has the line “Aviso"))
    assert by_name["disclaimer"] == by_name[notice] == direction
    side = "only chosen" if direction == "up" else "only rejected"
    shown = [row[side] for row in found.rows()]
    said = [
        ("Aviso" in one["chosen"][0]["content"], "Aviso" in one["rejected"][0]["content"]) for one in made
    ]
    assert ["disclaimer" in one for one in shown] == [
        a and not b if direction == "up" else b and not a for a, b in said
    ]


def test_pairs_of_plain_text_with_faults_and_turned_round_get_their_advice(tmp_path):
    long = "Sí, claro.\n- uno\n- dos"
    made = [
        {"prompt": f"pregunta {n}", "chosen": f"{long}\n{n}", "rejected": f"No sé. {n}"} for n in range(20)
    ]
    made += [{**made[0]}, {**made[1], "chosen": made[1]["rejected"], "rejected": made[1]["chosen"]}]
    made += [{"prompt": "x", "chosen": "igual", "rejected": "igual"}]
    found = _audited(tmp_path, made, pairs=True)
    advice = {row: (one["advice"], one["reasons"]) for row, one in enumerate(found.rows())}
    assert advice[20] == ("drop", ["repeats row 1"])
    assert advice[21][0] == advice[1][0] == "look" and "another side is preferred" in advice[21][1][0]
    assert advice[22][0] == "drop" and "identical sides" in advice[22][1][0]
    assert advice[5] == ("keep", [])
    table = {line[0]: line[-1] for line in found.findings[-1].table}
    assert (table["has a list"], table["words"], table["has the line “- uno”"]) == ("up", "up", "up")


def test_a_row_without_its_label_gets_none_from_its_answer_and_leading_spaces_are_no_empty_text(tmp_path):
    made = [
        {"prompt": f"{' ' * 200}pregunta {n}", "completion": "Nivel: ROJO", "label": "b"} for n in range(5)
    ]
    found = _audited(tmp_path, [*made, {"prompt": "otra", "completion": "Nivel: ROJO", "label": ""}])
    assert found.labels == ["b"] * 5 + [""]
    assert found.advice[5][1] == ["no label"] and found.measures["empty"] == 0


# ---------------------------------------------------------------------------------------------- the command line
def _command(*arguments):
    options = command_line.parser().parse_args(["audit", *map(str, arguments)])
    return options.act(options)


def test_the_exit_code_says_accepted_refused_by_a_threshold_or_unread(tmp_path, capsys):
    good = [{"text": f"texto número {n} {'abc'[n % 3] * 3}", "label": "abc"[n % 3]} for n in range(90)]
    path, out = _write(tmp_path / "good.jsonl", good), tmp_path / "out"
    bounds = tmp_path / "mine.yaml"
    bounds.write_text("exact_copies: {says: No copies., at_most: 0.0, why: mine}\n")
    assert _command(path, "--out", out, "--thresholds", bounds) == 0
    assert "Does the label follow" in capsys.readouterr().out
    bad = _write(tmp_path / "bad.jsonl", [good[0], *good])
    assert _command(bad, "--out", out, "--thresholds", bounds) == 1
    assert "✗ No copies." in capsys.readouterr().out
    assert _command(tmp_path / "none.csv", "--out", out) == 2
    assert "no such file" in capsys.readouterr().err
    bounds.write_text("exact_copies: {says: No copies., at_most: 0.0}\n")
    with pytest.raises(LabError, match="why"):
        _command(path, "--out", out, "--thresholds", bounds)


def test_skew_is_held_against_the_chosen_prior(tmp_path):
    made = [{"text": f"t{n}", "label": "a" if n < 80 else "b"} for n in range(100)]
    assert _audited(tmp_path, made).measures["skew"] == pytest.approx(0.3)
    assert _audited(tmp_path, made, prior={"a": 0.8, "b": 0.2}).measures["skew"] == pytest.approx(0)
    with pytest.raises(LabError, match="--prior"):
        _audited(tmp_path, made, prior={"a": 1.0})


# ------------------------------------------------------------------------------------------- texts of packages
def _of_package(package, *inside):
    """A file that an installed package ships; the test is skipped where it is not installed."""
    spec = util.find_spec(package)
    if spec is None:
        pytest.skip(f"{package} is not installed (it comes with an extra)")
    return Path(spec.origin).parent.joinpath(*inside)


def _language_registry():
    """langcodes (comes with wordfreq): names of languages, scripts and regions, and which of these they are."""
    text = _of_package("langcodes", "data", "language-subtag-registry.txt").read_text(encoding="utf-8")
    for entry in text.split("%%"):
        fields = dict(line.split(": ", 1) for line in entry.strip().splitlines() if ": " in line[:20])
        if "Description" in fields:
            yield {"text": fields["Description"], "label": fields["Type"]}


def _descriptions():
    """scikit-learn: the lines of its data sets' descriptions, and of which set."""
    for path in sorted(_of_package("sklearn", "datasets", "descr").glob("*.rst")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield {"text": line, "label": path.stem}


def _summaries():
    """What every installed package says of itself, and the first topic of its classifiers, if any."""
    for one in metadata.distributions():
        topics = [c for c in one.metadata.get_all("Classifier") or [] if c.startswith("Topic")]
        yield {"text": one.metadata.get("Summary") or "", "label": topics[0] if topics else ""}


@pytest.mark.parametrize("made", [_language_registry, _descriptions, _summaries])
def test_texts_that_packages_ship_are_audited_as_a_count_by_hand_says(tmp_path, monkeypatch, made):
    monkeypatch.setattr(own, "SAMPLE", 120)
    records = list(made())
    assert len(records) > 100
    found = _audited(tmp_path, records)
    texts, labels = [normal(row["text"]) for row in records], [row["label"].strip() for row in records]
    assert round(found.measures["exact_copies"] * len(texts)) == len(texts) - len(set(texts))
    named = [(text, label) for text, label in zip(texts, labels, strict=True) if label]
    torn = set(audit.conflicting(*zip(*named, strict=True)))
    against = {row for row, text in enumerate(texts) if labels[row] and text in torn}
    assert _reasons(found, "contradicts") == against
    for row in _reasons(found, "nearly"):
        why = next(one for one in found.advice[row][1] if one.startswith("nearly"))
        one, other = (
            Counter(
                word.strip("\"'`.,:;!?()[]{}<>*_-–—/\\|@#$%^&+=~“”‘’…«»¿¡") or word
                for word in texts[n].split()
            )
            for n in (row, int(why.split()[-1]) - 1)
        )
        assert (one & other).total() >= 0.79 * (one | other).total()
