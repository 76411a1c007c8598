"""Plausible text that means nothing: sentences out of common words and the prompt's own."""

import re
from collections.abc import Sequence
from random import Random

_WORD = re.compile(r"[^\W_][\w'-]*")
_WORDS_OF_PROMPT = 64
_CHARACTERS_OF_PROMPT = 4000

_COMMON = """
the a this that each every most some many few one two several another other same first last next
early late report answer question result value number record line table document page order item
price total date name place person customer team group project market city country river house
garden machine engine signal message system model method process service network search engine
archive library student teacher doctor driver writer reader shows gives takes finds keeps moves
opens closes follows carries holds needs offers covers explains compares describes contains returns
remains becomes appears changes improves measures collects depends arrives starts ends small large
new old clear simple common useful careful complete partial recent local general special quiet
steady open early short long direct stable different similar possible likely rare usual plain
detailed brief exact of in on at by for from with without about between during before after under
over through against within and or but while because although when where which as if so then also
often always never sometimes still already quickly slowly clearly mostly nearly exactly roughly
together again further instead however therefore
"""

VOCABULARY: tuple[str, ...] = tuple(_COMMON.split())
"""A word may stand here more than once: it is then as much more frequent."""


def prompt_words(prompt: str) -> list[str]:
    """The first words of a prompt, to draw from; a very long prompt is looked at in its beginning only."""
    return _WORD.findall(prompt[:_CHARACTERS_OF_PROMPT])[:_WORDS_OF_PROMPT]


def text(rng: Random, words: int, own: Sequence[str] = ()) -> str:
    """So many words in sentences of 6 to 14, about a third of them out of `own`."""
    pool = (*VOCABULARY, *own, *own) if own else VOCABULARY
    drawn = rng.choices(pool, k=max(1, words))
    sentences, at = [], 0
    while at < len(drawn):
        sentence = " ".join(drawn[at : at + rng.randrange(6, 15)])
        at += sentence.count(" ") + 1
        sentences.append(sentence[0].upper() + sentence[1:] + ".")
    return " ".join(sentences)
