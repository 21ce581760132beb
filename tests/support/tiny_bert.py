"""A folder with the files of a very small BERT with random weights, whose tokenizer knows the given words."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Wide enough that the exporter keeps the weights as they are: it folds matrices of up to 8,192 numbers.
WIDTH, WIDE, LAYERS, HEADS, PLACES = 96, 100, 2, 3, 40


def write_bert(folder: Path, words: Iterable[str] = (), seed: int = 0, **keys: Any) -> Path:
    """Write the files; `keys` replace those of config.json. Return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [f"##{letter}" for letter in LETTERS]
    tokens = dict.fromkeys([*SPECIAL, *LETTERS, *pieces, *sorted(words)])
    vocabulary = {token: at for at, token in enumerate(tokens)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.enable_padding(length=PLACES)  # as that of all-MiniLM-L6-v2 has it
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "model_type": "bert", "hidden_size": WIDTH, "intermediate_size": WIDE, "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS, "max_position_embeddings": PLACES, "vocab_size": len(vocabulary),
        "hidden_act": "gelu", "architectures": ["BertModel"],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config | keys))
    save_file(make_weights(len(vocabulary), seed), folder / "model.safetensors")
    return folder


def make_weights(vocabulary: int, seed: int) -> dict[str, torch.Tensor]:
    """Make random weights under the names that such files have."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary, WIDTH),
        "embeddings.position_embeddings.weight": (PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "pooler.dense.weight": (WIDTH, WIDTH),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        linear = {
            "attention.self.query": (WIDTH, WIDTH), "attention.self.key": (WIDTH, WIDTH),
            "attention.self.value": (WIDTH, WIDTH), "attention.output.dense": (WIDTH, WIDTH),
            "intermediate.dense": (WIDE, WIDTH), "output.dense": (WIDTH, WIDE),
        }  # fmt: skip
        for name, shape in linear.items():
            shapes |= {f"{at}.{name}.weight": shape, f"{at}.{name}.bias": shape[:1]}
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    shapes |= {f"{norm}.{part}": (WIDTH,) for norm in norms for part in ("weight", "bias")}
    random = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    for name, value in weights.items():
        # Small ones but for the words', so that texts of other words have other embeddings.
        if "word_embeddings" not in name:
            value.mul_(0.2)
        if name.endswith("LayerNorm.weight"):
            value.add_(1.0)
    return weights
