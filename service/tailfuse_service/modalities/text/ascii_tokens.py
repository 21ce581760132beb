"""The tokens of an ASCII text: what unicode_tokens gives for it, in a third of the time."""

import re

from tailfuse_service.modalities.text.tokens import MAX_SYMBOL_CHARS, Tokens

# Lower case, and a space for each control character.
FOLD = bytes(ord(chr(code).lower()) if 0x20 < code < 0x7F else 0x20 for code in range(256))
WORD = rb"(?:[a-z]+(?:'(?=[a-z]))?|[0-9]+(?:[.,;'](?=[0-9]))?|_+)+"
TOKEN = re.compile(WORD + rb"|[!-/:-@\[-^`{-~]+")
WORD_STARTS = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_")


def find_tokens(text: str, limit: int) -> Tokens:
    """Return the first `limit` tokens."""
    found = TOKEN.findall(text.encode("ascii").translate(FOLD))[:limit]
    words = [token for token in found if token[0] in WORD_STARTS]
    symbols = [token[:MAX_SYMBOL_CHARS] for token in found if token[0] not in WORD_STARTS]
    return Tokens(words, symbols)
