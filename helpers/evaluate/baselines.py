"""What any model has to beat: a constant, a page of keyword rules, word counts with logistic regression, and
naive Bayes on every training wording.

Each returns answers as text (a level line), so that one scorer serves models and baselines.
"""

import re
from collections.abc import Sequence

from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import make_pipeline

from helpers.cases import Example, findings
from helpers.triage import strip_accents

# Written once, from general knowledge of the rubric, before any dev figure was looked at; first match wins.
RULES = {
    "ROJO": r"no responde|no reacciona|inconsciente|no respira|sin pulso|convulsiona|se ahoga|labios morados|a chorros"
    r"|no deja de sangrar|estridor",
    "NARANJA": r"opresi|brazo izquierdo|peor dolor|insoportable|confus|debilidad|cara torcida|nuca|manchas moradas|vomita sangre"
    r"|heces negras|suicid|hincha.*(cara|lengua)|muy fuerte|intens",
    "AZUL": r"receta|revision|control|certificado|resultado|desde hace (anos|meses)|de siempre|de toda la vida"
    r"|pregunta|cita|sin cambios|sin molestias",
    "VERDE": r"leve|poco|ligera|superficial|resfriado|rasp|pequen|mocos|desde ayer",
    "AMARILLO": r".",
}


def _answer(level: str) -> str:
    return f"Nivel de Urgencia: {level}"


def always(level: str, examples: Sequence[Example]) -> list[str]:
    """The same level for everybody. `always("ROJO", …)` is the blog's collapsed model."""
    return [_answer(level) for _ in examples]


def keyword_rules(examples: Sequence[Example]) -> list[str]:
    """The first rule whose pattern occurs in the text, accents ignored."""
    texts = (strip_accents(example.text).lower() for example in examples)
    return [
        _answer(next(level for level, pattern in RULES.items() if re.search(pattern, text, re.DOTALL)))
        for text in texts
    ]


def tfidf(train: Sequence[Example], examples: Sequence[Example]) -> list[str]:
    """TF-IDF of words and word pairs, logistic regression: what a classifier of 2005 makes of the same
    training rows.
    """
    classifier = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, strip_accents="unicode"),
        LogisticRegression(C=10, max_iter=1000),
    )
    classifier.fit([row.text for row in train], [row.level for row in train])
    return [_answer(level) for level in classifier.predict([row.text for row in examples])]


def naive_bayes(examples: Sequence[Example]) -> list[str]:
    """A bag of words that has read *every* training wording and chart term: how far single words carry."""
    rows = [
        (text, finding.level)
        for finding in findings().values()
        for text in (finding.term, *finding.texts("train"))
    ]
    classifier = make_pipeline(
        CountVectorizer(binary=True, strip_accents="unicode", token_pattern=r"\w+"), BernoulliNB(alpha=0.5)
    )
    classifier.fit(*zip(*rows, strict=True))
    return [_answer(level) for level in classifier.predict([row.text for row in examples])]


def baselines(train: Sequence[Example], examples: Sequence[Example]) -> dict[str, list[str]]:
    """The answers of every baseline, by its name; TF-IDF learns from `train`, the rows of the model."""
    return {
        "always ROJO": always("ROJO", examples),
        "keyword rules": keyword_rules(examples),
        "TF-IDF, same rows": tfidf(train, examples),
        "naive Bayes, all training texts": naive_bayes(examples),
    }
