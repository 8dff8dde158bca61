"""Tables, cards and the figure of notebook 01: English beside Spanish with the glossary marked, what the checks sent back, the checks on trial."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from IPython.display import HTML, Markdown, display

from helpers.evaluate import Rate, bootstrap_mean, wilson
from helpers.show.figures import present, static, table
from helpers.translate import CHECKS, Problem, Row, Translation, Trial, highlights

ASKS = {
    "present": "every field is there",
    "language": "it is Spanish, all of it",
    "length": "not far shorter or longer than the source",
    "numbers": "every number, unit and dose, and no new one",
    "glossary": "every term as the glossary wants it",
    "answer": "an answer came and could be read",
}
SHADES = {
    "drug": "#c5cae9",
    "brand": "#ffe0b2",
    "place": "#c8e6c9",
    "unit": "#e0e0e0",
    "term": "#b2ebf2",
    "avoid": "#ffcdd2",
}
BARS = {"looked for": ("#283593", ""), "not looked for": ("#c62828", "//"), "control": ("#9e9e9e", "..")}


def marked(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    """HTML of a text with the spans of `translate.highlights` shaded and named; a word to avoid is struck out as well."""
    text, parts, place = unicodedata.normalize("NFC", text), [], 0
    for start, end, kind in spans:
        if start < place:
            continue
        word = html.escape(text[start:end])
        word = f"<s>{word}</s>" if kind == "avoid" else word
        parts.append(html.escape(text[place:start]))
        parts.append(f'<mark style="background:{SHADES[kind]};color:black">{word}</mark><sup>{kind}</sup>')
        place = end
    return "".join([*parts, html.escape(text[place:])])


def _grid(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    cell = 'style="text-align:left;vertical-align:top;padding:4px 10px"'
    head = "".join(f"<th {cell}>{text}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td {cell}>{text}</td>" for text in line) + "</tr>" for line in lines)
    return f"<table><tr>{head}</tr>{body}</table>"


def side_by_side(
    row: Row, spanish: Mapping[str, str], country: str, problems: Sequence[Problem] = ()
) -> HTML:
    """A row's fields, English left and Spanish right, the glossary's terms marked; below, what the checks said."""
    lines = []
    for column, english in row.fields.items():
        left, right = highlights(english, spanish.get(column, ""), country)
        lines.append((f"<i>{column}</i>", marked(english, left), marked(spanish.get(column, ""), right)))
    said = "".join(f"<li>{html.escape(str(problem))}</li>" for problem in problems)
    verdict = f"<p>The checks say:</p><ul>{said}</ul>" if said else ""
    return HTML(_grid((f"{row.id}", "English", f"Spanish ({country})"), lines) + verdict)


def browse_translations(done: Translation, first: int = 0) -> None:
    """A drop-down over the translated rows, each shown side by side. A static page shows the one at `first`."""

    def draw(place: int) -> None:
        item = done.passed[place]
        display(side_by_side(item.row, item.spanish, done.country))

    if not done.passed:
        display(Markdown("*No row passed: nothing to show.*"))
        return
    if static():
        display(
            Markdown(
                f"*In a live notebook a drop-down chooses among {len(done.passed):,} rows. Here is one:*"
            )
        )
        draw(min(first, len(done.passed) - 1))
        return
    import ipywidgets

    options = [
        (f"{item.row.id} · {next(iter(item.row.fields.values()))[:70]}", place)
        for place, item in enumerate(done.passed)
    ]
    chosen = ipywidgets.Dropdown(options=options, value=min(first, len(options) - 1), description="row")
    display(chosen, ipywidgets.interactive_output(draw, {"place": chosen}))


def sent_back(done: Translation, rows: Sequence[Row], check: str) -> None:
    """One row that failed this check: its first answer, the complaint, and what came back."""
    first = {row.id: answer for row, answer in zip(rows, done.first, strict=True)}
    item = next(
        (item for item in done.sent_back if any(problem.check == check for problem in item.sent_back)), None
    )
    if item is None:
        display(Markdown(f"*No answer failed the check “{check}” in this run.*"))
        return
    columns = list(
        dict.fromkeys(problem.field for problem in item.sent_back if problem.field in item.row.fields)
    )
    shown = Row(item.row.id, item.row.kind, {column: item.row.fields[column] for column in columns})
    display(
        Markdown(f"**First answer** (check: {check})"),
        side_by_side(shown, first[item.row.id] or {}, done.country, item.sent_back),
    )
    display(Markdown("**After it was sent back**"), side_by_side(shown, item.spanish or {}, done.country))


def checks_table(done: Translation) -> Markdown:
    """What each check asks, how many rows failed it at first, and what became of them."""
    lines = {line["check"]: line for line in done.table()}
    rows = []
    for check in (*CHECKS, "answer"):
        judged = (
            (lambda row: row.id not in done.foreign) if check in ("length", "numbers", "glossary") else None
        )
        answered = len(done.first) - lines["answer"]["failed at first"]
        clean, n = (answered, len(done.first)) if check == "answer" else done.rate(check, judged)
        rows.append(
            {
                "check": check,
                "asks": ASKS[check],
                "passed at first": wilson(clean, n) if n else "no row answered",
            }
        )
        rows[-1] |= {
            "sent back": lines[check]["failed at first"],
            "mended": lines[check]["mended"],
            "lost": lines[check]["lost"],
        }
    return table(rows)


def regions(rows: Sequence[Row], done: Mapping[str, Translation], columns: Mapping[str, str]) -> HTML:
    """The same sentence for every country, the glossary's terms marked.

    Args:
        rows: whose sentences are shown.
        done: a translation for each country.
        columns: which field of each kind of row.
    """
    lines = []
    for row in rows:
        english = row.fields[columns[row.kind]]
        line = [marked(english, highlights(english, "", "ES")[0])]
        for country, translation in done.items():
            spanish = next((item.spanish for item in translation.passed if item.row.id == row.id), None)
            text = spanish[columns[row.kind]] if spanish else None
            line.append(
                marked(text, highlights(english, text, country)[1]) if text else "<i>did not pass</i>"
            )
        lines.append(line)
    return HTML(_grid(("English", *done), lines))


def trial_bars(trials: Sequence[Trial], caught: Mapping[str, Rate], prediction: float | None = None) -> None:
    """Planted mistakes: the share that the checks notice, and what the same mistakes cost in chrF.

    Args:
        trials: from `translate.put_on_trial`.
        caught: the rate of each, by `Trial.key`.
        prediction: the reader's guess of the share noticed.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 0.45 * len(trials) + 1.8), sharey=True)
    listed = []
    for place, trial in enumerate(reversed(trials)):
        color, hatch = BARS[trial.group]
        loss = bootstrap_mean([100 - score for score in trial.chrf])
        rate = caught[trial.key]
        for axes, found, shown in ((left, rate, f"{rate.value:.0%}"), (right, loss, f"{loss.value:.1f}")):
            error = [[max(0.0, found.value - found.low)], [max(0.0, found.high - found.value)]]
            axes.barh(
                place,
                found.value,
                color=color,
                hatch=hatch,
                edgecolor="white",
                height=0.66,
                xerr=error,
                capsize=3,
            )
            axes.text(found.high + (0.03 if axes is left else 2), place, shown, va="center", fontsize=9)
        listed.append(f"{trial.mistake}: {rate.value:.0%} noticed, chrF {loss.value:.1f} lower")
    left.set_yticks(range(len(trials)), [trial.mistake for trial in reversed(trials)])
    left.set(xlim=(0, 1.15), title="Noticed by the checks", xticks=[0, 0.25, 0.5, 0.75, 1])
    left.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    right.set(xlim=(0, 100), title="Points of chrF lost (of 100)")
    if prediction is not None:
        left.axvline(prediction, color="#ef6c00", linestyle="--", label="your prediction")
        left.legend(fontsize=8, loc="lower right")
    keys = [
        plt.Rectangle((0, 0), 1, 1, facecolor=color, hatch=hatch, edgecolor="white")
        for color, hatch in BARS.values()
    ]
    right.legend(
        keys,
        ["a check looks for it", "no check looks for it", "control: nothing is wrong"],
        fontsize=8,
        loc="lower right",
    )
    present(
        figure,
        "one mistake planted in correct Spanish: the share that any check notices, and how far chrF falls, with 95 % intervals; "
        f"plain bars are mistakes that the checks were written for, hatched ones are not. {'; '.join(reversed(listed))}.",
        n=sum(len(trial.caught) for trial in trials),
        seeds=None,
    )
