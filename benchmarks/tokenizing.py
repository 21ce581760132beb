"""CPU time per text of each tokenizer and encoder, by script: python benchmarks/tokenizing.py [REPEATS].

Each text has about 300 characters, and hashing its n-grams is part of the time. Tokenizers and encoders take
turns; the fastest of REPEATS passes counts. A bundle as the second argument adds the time of its graph, in
batches of 1 and of 16 texts: python benchmarks/tokenizing.py 9 BUNDLE.
"""

import sys
import time
from base64 import b64encode
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.bundle import Bundle, collate, open_bundle
from tailfuse_service.modalities import TextModality
from tailfuse_service.modalities.text.features import TextFeatures
from tailfuse_service.modalities.text.sparse_rows import find_shortest_ngrams
from tailfuse_service.modalities.text.tokenizer import LATEST_TOKENIZER, TOKENIZERS

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
BATCHES, GRAPH_RUNS = (1, 16), 100


def make_features(encoder: str, tokenizer: int) -> TextFeatures:
    """Return the features of a text with the defaults of a spec, to which these sentences are known."""
    ngrams = (
        ngram
        for text in SENTENCES.values()
        for ngram in find_shortest_ngrams(TOKENIZERS[tokenizer](text, 512))
    )
    known = b64encode(np.array(sorted(set(map(crc32, ngrams))), "<u4").tobytes())
    lsa = {"encoder": encoder, "dimensions": 512, "known": known} if encoder == "lsa" else {}
    return TextModality.model_validate(
        {"columns": ["text"], "tokenizer": tokenizer, "buckets": 16384, "ngrams": 2, "max_tokens": 512} | lsa
    ).features("text")


def measure(features: TextFeatures, texts: list[str]) -> float:
    """Return the CPU time per text, in microseconds."""
    start = time.process_time()
    for text in texts:
        features.apply(text)
    return (time.process_time() - start) / len(texts) * 1e6


def make_texts(sentence: str, count: int) -> list[str]:
    """Make texts of about 300 characters, no two of them alike: words in another order."""
    random = np.random.default_rng(0)
    words = (sentence * (300 // len(sentence))).split(" ")
    return [" ".join(random.permutation(words)) for _ in range(count)]


def measure_graph(bundle: Bundle, batch: int) -> float:
    """Return the CPU time per text of a bundle's graph, of texts alone, in microseconds."""
    name = next(name for name, each in bundle.manifest.modalities.items() if each.kind == "text")
    features = bundle.features[name]
    rows: list[NDArray[Any] | None] = [
        features.apply(text) for text in make_texts(SENTENCES["English"], batch)
    ]
    samples = [{name: row} for row in rows if row is not None]
    collated = collate(samples, bundle.features)
    bundle.runtime.run(collated)
    start = time.process_time()
    for _ in range(GRAPH_RUNS):
        bundle.runtime.run(collated)
    return (time.process_time() - start) / GRAPH_RUNS / batch * 1e6


def main() -> None:
    """Print a row for each script: the microseconds of each tokenizer and encoder."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    measured = {f"tokenizer {version}": make_features("bag", version) for version in TOKENIZERS}
    measured["lsa"] = make_features("lsa", LATEST_TOKENIZER)
    print("".join(["us per text".ljust(24), *(name.rjust(14) for name in measured)]))
    for script, sentence in SENTENCES.items():
        texts = make_texts(sentence, TEXTS)
        turns = [[measure(each, texts) for each in measured.values()] for _ in range(repeats)]
        fastest = [min(times) for times in zip(*turns, strict=True)]
        print("".join([script.ljust(24), *(f"{each:14.1f}" for each in fastest)]))
    if len(sys.argv) > 2:
        bundle = open_bundle(Path(sys.argv[2]))
        for batch in BATCHES:
            fastest_run = min(measure_graph(bundle, batch) for _ in range(repeats))
            print(f"graph of {sys.argv[2]}, batches of {batch}: {fastest_run:.0f} us per text")


if __name__ == "__main__":
    main()
