"""CPU time per text of each tokenizer, in several scripts: python benchmarks/tokenizing.py [REPEATS].

Each text has about 300 characters, and hashing its n-grams is part of the time. The tokenizers take turns;
the fastest of REPEATS passes counts.
"""

import sys
import time

from tailfuse_service.modalities import TextModality
from tailfuse_service.modalities.text.features import TextFeatures
from tailfuse_service.modalities.text.tokenizer import TOKENIZERS

SENTENCES = {
    "English": "I'm 5'4\" and bought the small; it runs true to size. Great quality, lovely fabric! ",
    "English, typographic": "I’m 5’4” and bought the “small” — it runs true to size… Great quality! ",
    "French": "La taille est bonne, même très légère ; l'étoffe est jolie et coûte 39,90 €. ",
    "Russian": "Отличное платье, очень лёгкая ткань! Заказывала размер S, подошло идеально. ",
    "Hindi": "यह पोशाक बहुत अच्छी है, कपड़ा हल्का और सुंदर है। सही नाप का है! ",
    "Chinese": "这条裙子质量很好，面料舒服，尺码也合适。物流很快，非常满意！",
    "Thai": "ชุดนี้สวยมาก ผ้านุ่มใส่สบาย ขนาดพอดีตัว ส่งของเร็วมาก ชอบที่สุด ",
}
TEXTS = 1000


def make_features(tokenizer: int) -> TextFeatures:
    """Return the features of a text with the defaults of a spec."""
    return TextModality.model_validate(
        {"columns": ["text"], "tokenizer": tokenizer, "buckets": 16384, "ngrams": 2, "max_tokens": 512}
    ).features("text")


def measure(features: TextFeatures, texts: list[str]) -> float:
    """Return the CPU time per text, in microseconds."""
    start = time.process_time()
    for text in texts:
        features.apply(text)
    return (time.process_time() - start) / len(texts) * 1e6


def main() -> None:
    """Print a row for each script: the microseconds of each tokenizer."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    by_version = {version: make_features(version) for version in TOKENIZERS}
    print("".join(["us per text".ljust(24), *(f"tokenizer {version}".rjust(14) for version in by_version)]))
    for script, sentence in SENTENCES.items():
        texts = [sentence * (300 // len(sentence))] * TEXTS
        turns = [[measure(each, texts) for each in by_version.values()] for _ in range(repeats)]
        fastest = [min(times) for times in zip(*turns, strict=True)]
        print("".join([script.ljust(24), *(f"{each:14.1f}" for each in fastest)]))


if __name__ == "__main__":
    main()
