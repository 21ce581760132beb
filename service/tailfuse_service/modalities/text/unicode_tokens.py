"""The tokens of a text in any script.

Words are those of Unicode's annex 29, with two of the changes that it provides for: a full stop and a colon
do not join letters ("great.Love it" has a space too few far more often than texts have web addresses), and
typographic quotes and dashes are those of ASCII.
"""

from itertools import islice
from unicodedata import normalize

import regex

from tailfuse_service.modalities.text.tokens import MAX_SYMBOL_CHARS, Tokens

TYPOGRAPHY = {
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "–": "-",
    "—": "-",
    "\N{NO-BREAK SPACE}": " ",
    "…": "...",
}

# Half-width and full-width forms: an input method writes either.
WIDTHS = regex.compile(r"[\uFF01-\uFFEE]+")
# The time of normalisation grows with the square of the number of marks in a row. Unicode's annex 15 calls
# a text with at most 30 of them stream-safe; no language needs as many.
MANY_MARKS = regex.compile(r"(\p{M}{30})\p{M}++")
# Invisible characters, except joiners of letters and emoji; vowel signs that Arabic and Hebrew mostly omit.
OMITTED = regex.compile(
    r"[\p{Default_Ignorable_Code_Point}--[\u200C\u200D\U000E0020-\U000E007F]]"
    r"|[\u0640\u064B-\u0652\u0670]|[\p{Hebrew}&&\p{Mn}]",
    regex.V1,
)

LETTER = r"\p{WB=ALetter}\p{WB=Hebrew_Letter}"
DIGIT = r"\p{WB=Numeric}"
EXTEND = r"\p{WB=Extend}\p{WB=Format}\u200C\u200D"  # signs that belong to what they follow
# Scripts without spaces: Thai, Lao, Khmer, Myanmar and their relatives (SA), Han, Hiragana, Katakana.
UNSPACED = r"\p{LB=SA}\p{Ideographic}\p{Hiragana}\p{Katakana}\p{WB=Katakana}"
PICTOGRAPH = r"[\p{Emoji}--[0-9#*]]"

WORD = (
    rf"(?:[{LETTER}][{LETTER}{EXTEND}]*+(?:['\u00B7\u05F4\u2027](?=[{LETTER}])|\"(?<=\p{{Hebrew}}\")(?=\p{{Hebrew}}))?+"
    rf"|[{DIGIT}][{DIGIT}{EXTEND}]*+(?:[.,;'\u066C](?=[{DIGIT}]))?+"
    rf"|\p{{WB=ExtendNumLet}}[{EXTEND}]*+)++"
)
RUN = rf"[{UNSPACED}][{UNSPACED}\p{{M}}]*+"
TAIL = r"[\p{Emoji_Modifier}\u20E3\U000E0020-\U000E007F]*+"
EMOJI = rf"\p{{RI}}{{1,2}}|{PICTOGRAPH}{TAIL}(?:\u200D{PICTOGRAPH}{TAIL})*+"
SYMBOLS = rf"[^\s\p{{Z}}\p{{Cc}}\p{{Cf}}\p{{Cs}}{LETTER}{DIGIT}\p{{WB=ExtendNumLet}}{UNSPACED}{PICTOGRAPH}]++"
TOKEN = regex.compile(rf"(?P<word>{WORD})|(?P<run>{RUN})|(?P<emoji>{EMOJI})|(?P<symbols>{SYMBOLS})", regex.V1)
CHARACTER = regex.compile(r".\p{M}*+", regex.DOTALL)


def fold_typography(text: str) -> str:
    """Return a text with the quotes, dashes and spaces of ASCII, which most keyboards write."""
    for typographic, plain in TYPOGRAPHY.items():  # a tenth of the time of str.translate
        text = text.replace(typographic, plain)
    return text


def normalise(text: str) -> str:
    """Return the one spelling (NFC, case folded) of texts that look the same."""
    text = WIDTHS.sub(lambda found: normalize("NFKC", found[0]), text)
    text = OMITTED.sub("", normalize("NFC", MANY_MARKS.sub(r"\1", text)))
    return normalize("NFC", text.casefold())


def find_tokens(text: str, limit: int) -> Tokens:
    """Return the first `limit` tokens; a run of a script without spaces counts as one."""
    tokens = Tokens([])
    for match in islice(TOKEN.finditer(normalise(text)), limit):
        token = match[0]
        if match.lastgroup == "word":
            tokens.words.append(token.encode())
        elif match.lastgroup == "run":
            tokens.runs.append([character.encode() for character in CHARACTER.findall(token)])
        elif match.lastgroup == "emoji":
            tokens.symbols.append(token.encode())
        else:
            tokens.symbols.append(token[:MAX_SYMBOL_CHARS].encode())
    return tokens
