"""The words of a text, and the search of a corpus for what it must not say."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable


def words(text: str) -> list[str]:
    """Lower-case words of a text, digits included."""
    return re.findall(r"\w+", text.lower())


class PhraseIndex:
    """Finds which of many phrases occur in a text, whole, in any case, in time linear in the text."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._by_start: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
        for phrase in phrases:
            if tokens := tuple(words(phrase)):
                self._by_start[tokens[0]].append(tokens)

    def search(self, text: str) -> str | None:
        """The first phrase found in `text`, as its words, or None."""
        tokens = tuple(words(text))
        for position, token in enumerate(tokens):
            for phrase in self._by_start.get(token, ()):
                if tokens[position : position + len(phrase)] == phrase:
                    return " ".join(phrase)
        return None


def together(texts: Iterable[str], some: Collection[str], others: Collection[str]) -> list[str]:
    """The texts that hold a phrase of `some` and a phrase of `others`: what must not stand together."""
    one, two = PhraseIndex(some), PhraseIndex(others)
    return [text for text in texts if one.search(text) and two.search(text)]
