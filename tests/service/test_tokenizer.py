"""A text becomes the same tokens however it is typed, in every script."""

from unicodedata import normalize

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from tailfuse_service.modalities import TextModality
from tailfuse_service.modalities.text import ascii_tokens, unicode_tokens
from tailfuse_service.modalities.text.tokenizer import (
    LATEST_TOKENIZER,
    TOKENIZERS,
    shorten,
    tokenize_unicode,
    tokenize_word_characters,
)

LIMIT = 512
FAMILY = "👨\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧"
# Of every class that the rules treat differently.
CHARACTERS = "aB1_ '.,:;\"’\n-!́ß éΣ가คีー カが漢字कि्אב״عَـ😀👩🏽🇫🇷\u200b\u200c\u200d\ufe0f\u3164\u20e3\xad½·ﾞＡ"
texts = st.text(st.sampled_from(CHARACTERS) | st.characters(), max_size=40)


def find(text: str) -> list[str]:
    """Return every token of a text; a run of characters is one."""
    tokens = tokenize_unicode(text, LIMIT)
    joined = [b"".join(run) for run in tokens.runs]
    return [token.decode() for token in tokens.words + tokens.symbols + joined]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop", ["don't", "stop"]),
        ("don’t “stop”…", ["don't", "stop", '"', '"...']),
        ("l'été, l·l", ["l'été", "l·l", ","]),
        ("3.14 and 1,000, not 1, 2", ["3.14", "and", "1,000", "not", "1", "2", ",", ","]),
        ("great.Love it", ["great", "love", "it", "."]),
        ("https://example.com/a?b=1", ["https", "example", "com", "a", "b", "1", "://", ".", "/", "?", "="]),
        ("#sale @me C++ $5 100%", ["sale", "me", "c", "5", "100", "#", "@", "++", "$", "%"]),
        ("one\ntwo\tthree\r\n", ["one", "two", "three"]),
        ("!!! :-) ★★★★☆", ["!!!", ":-)", "★★★★☆"]),
        ("=" * 50, ["=" * 8]),
        ("हिन्दी में किताब", ["हिन्दी", "में", "किताब"]),
        ("தமிழ் বাংলা ગુજરાતી", ["தமிழ்", "বাংলা", "ગુજરાતી"]),
        ("Отличный ТЕЛЕФОН!", ["отличный", "телефон", "!"]),
        ("아주 좋아요", ["아주", "좋아요"]),
        ("很好。完美", ["。", "很好", "完美"]),
        ("カタカナー ひらがな", ["カタカナー", "ひらがな"]),
        ("ดีมาก 5 บาท", ["5", "ดีมาก", "บาท"]),
        ("ពណ៌ខៀវ ສີຟ້າ အပြာ", ["ពណ៌ខៀវ", "ສີຟ້າ", "အပြာ"]),
        ("iPhone很好5星", ["iphone", "5", "很好", "星"]),
        (f"ok{FAMILY}👍🏽🇫🇷🇩🇪", ["ok", FAMILY, "👍🏽", "🇫🇷", "🇩🇪"]),
        ("😀😀", ["😀", "😀"]),
        ("m² ½ €", ["m", "²", "½", "€"]),
        ('צה"ל צה״ל', ['צה"ל', "צה״ל"]),
        ("\ue000 \U000e1000", ["\ue000", "\U000e1000"]),  # private use; not assigned
        ("a\ud800b", ["a", "b"]),  # half of a pair
    ],
    ids=repr,
)
def test_the_tokens_of_a_text(text: str, expected: list[str]) -> None:
    assert find(text) == expected


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("café", normalize("NFD", "café")),
        ("한국어", normalize("NFD", "한국어")),
        ("ガ", normalize("NFD", "ガ")),
        ("ガーゼ", "ｶﾞｰｾﾞ"),
        ("good!", "ＧＯＯＤ！"),
        ("straße", "STRASSE"),
        ("οδος", "ΟΔΟΣ"),
        ("كِتَابٌ", "كتاب"),
        ("كتـــاب", "كتاب"),
        ("שָׁלוֹם", "שלום"),
        ("שלום\N{RIGHT-TO-LEFT MARK}", "שלום"),
        ("❤️", "❤"),
        ("co\N{SOFT HYPHEN}operate", "cooperate"),
        ("ដៃ\N{ZERO WIDTH SPACE}គូ", "ដៃគូ"),
        ("\N{ZERO WIDTH NO-BREAK SPACE}first", "first"),
        ("葛\U000e0100城", "葛城"),
    ],
    ids=repr,
)
def test_what_reads_the_same_is_the_same(text: str, same: str) -> None:
    assert find(text) == find(same) != []


@pytest.mark.parametrize(
    "text",
    ["", " \n\t", "\u00a0\u3000", "\x00\x1f\x7f", "\u200b\u200d\ufeff\u2060", "\u3164", "\ud800"],
    ids=ascii,
)  # fmt: skip
def test_a_text_that_shows_nothing_has_no_token(text: str) -> None:
    assert find(text) == []


def test_characters_make_pairs_and_words_what_the_spec_says() -> None:
    tokens = tokenize_unicode("很好喜 x 坏 y!", LIMIT)
    made = {ngrams: [gram.decode() for gram in tokens.make_ngrams(ngrams)] for ngrams in (1, 2, 3)}
    assert made[1] == ["x", "y", "!", "很好", "好喜", "很", "好", "喜", "坏"]
    assert made[2] == [*made[1], "x y"]
    assert made[3] == [*made[1], "很好喜", "x y"]


@given(st.text(st.characters(max_codepoint=127), max_size=60) | texts.filter(str.isascii))
def test_the_fast_path_gives_the_same_for_ascii(text: str) -> None:
    assert ascii_tokens.find_tokens(text, LIMIT) == unicode_tokens.find_tokens(text, LIMIT)


@given(texts)
def test_no_form_of_normalisation_changes_the_tokens(text: str) -> None:
    composed = normalize("NFC", text)
    assert find(text) == find(composed) == find(normalize("NFD", composed))


@given(texts)
def test_words_keep_to_the_boundaries_of_unicode(text: str) -> None:
    """Another engine's boundaries, those of the regex module, lie between words and not inside one."""
    text = unicode_tokens.normalise(unicode_tokens.fold_typography(text))
    boundaries = {match.start() for match in regex.finditer(r"\b", text, regex.WORD | regex.V1)}
    for match in unicode_tokens.TOKEN.finditer(text):
        if match.lastgroup == "word":
            assert not boundaries & set(range(match.start() + 1, match.end()))


@given(texts, st.integers(1, 5))
def test_a_limit_keeps_the_first_tokens(text: str, limit: int) -> None:
    every, some = tokenize_unicode(text, LIMIT), tokenize_unicode(text, limit)
    assert len(some.words) + len(some.symbols) + len(some.runs) <= limit
    assert some.words == every.words[: len(some.words)]
    assert some.symbols == every.symbols[: len(some.symbols)]


def test_the_first_tokens_of_a_long_text_are_found_behind_any_space() -> None:
    text = "first" + " " * 100_000 + "second " + "third " * 1000
    assert shorten(text, 3) == "first second third"
    assert len(shorten("x" * 1_000_000, LIMIT)) == 16 * LIMIT
    assert find(text)[:2] == ["first", "second"]


HOSTILE = {
    "one letter": "é",
    "apostrophes": "é'",
    "digits and points": "é1.",
    "Hebrew quotes": 'צ"',
    "Han": "很",
    "marks in the wrong order": "\N{COMBINING COMMA ABOVE RIGHT}\N{COMBINING GRAVE ACCENT BELOW}",
    "conjoining jamo": "\u1112\u1161",
    "a ligature of 18 letters": "\ufdfa",
    "flags": "\N{REGIONAL INDICATOR SYMBOL LETTER F}",
    "joined emoji": "👩\N{ZERO WIDTH JOINER}",
    "skin tones": "🏽",
    "joiners": "\N{ZERO WIDTH JOINER}",
    "invisible": "\N{WORD JOINER}",
    "spaces": "\N{NO-BREAK SPACE}",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_a_million_hostile_characters_are_read_in_one_pass(unit: str) -> None:
    """Without a limit on tokens too. What takes the square of the length would take hours here."""
    text = ("é" + unit * 1_000_000)[:1_000_000]
    assert tokenize_unicode(text, LIMIT).make_ngrams(2)
    assert tokenize_unicode(text, 1_000_000).make_ngrams(1)


MIXED = "Café don't 很好 हिन्दी 😀!!"


def test_a_released_tokenizer_never_changes() -> None:
    """These are the buckets that the embeddings of bundles in use were trained for."""
    hashes = {
        version: TextModality.model_validate(
            {"columns": ["t"], "tokenizer": version, "buckets": 16384, "ngrams": 2, "max_tokens": 99}
        ).features("t").apply(MIXED)
        for version in TOKENIZERS
    }  # fmt: skip
    assert {version: [] if array is None else array.tolist() for version, array in hashes.items()} == {
        1: [694, 474, 6825, 5862, 15224, 7046, 13955, 5694, 13929, 3802, 9009, 11614, 15977],
        2: [694, 8368, 13804, 13637, 5955, 5862, 894, 3269, 4697, 3144],
    }
    assert max(TOKENIZERS) == LATEST_TOKENIZER


def test_a_bundle_without_a_version_keeps_the_first_tokenizer() -> None:
    older = {"columns": ["notes"], "buckets": 64, "ngrams": 1, "max_tokens": 8}
    modality = TextModality.model_validate(older)
    assert modality.tokenizer == 1
    assert modality.features("notes").apply("!!!") is None
    assert tokenize_word_characters(MIXED, 99).words == [
        word.encode() for word in ["café", "don", "t", "很好", "ह", "न", "द"]
    ]
