"""A BERT that makes a sentence embedding: the mean of its tokens' last states, of length 1.

The encoder of Devlin et al. (2019), for inference only: its weights are frozen. They are kept as float16 and
computed with as float32, which halves the bundle and moves an embedding by less than 1e-3.

Letters: n texts, L tokens of the longest, V tokens of the vocabulary, D dimensions, H heads.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailfuse.errors import SpecError
from tailfuse.modalities.text.bert_files import CONFIG, WEIGHTS, BertConfig, read_config

MASKED = -1e9  # added to the score of padding; finite, for a row of padding alone has a softmax too


class HalfLinear(nn.Module):
    """A linear layer whose weights are kept as float16."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, dtype=torch.float16), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(outputs), requires_grad=False)

    def forward(self, states: Tensor) -> Tensor:
        return F.linear(states, self.weight.float(), self.bias)


class BertLayer(nn.Module):
    """A transformer layer: its two halves are each added to their input and normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = (config.num_attention_heads, width // config.num_attention_heads)
        self.query, self.key, self.value = (HalfLinear(width, width) for _ in range(3))
        self.attended = HalfLinear(width, width)
        self.attended_norm = nn.LayerNorm(width, config.layer_norm_eps)
        self.up = HalfLinear(width, config.intermediate_size)
        self.down = HalfLinear(config.intermediate_size, width)
        self.down_norm = nn.LayerNorm(width, config.layer_norm_eps)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(n, L, D), added to the scores (n, 1, 1, L) -> (n, L, D)"""
        query, key, value = (
            each(states).unflatten(-1, self.heads).transpose(1, 2)  # (n, H, L, D / H)
            for each in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) * self.heads[1] ** -0.5 + mask
        attended = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        states = self.attended_norm(states + self.attended(attended))
        normed: Tensor = self.down_norm(states + self.down(F.gelu(self.up(states))))
        return normed


class SentenceBert(nn.Module):
    """Token ids -> the embedding of a sentence."""

    def __init__(self, config: BertConfig, max_tokens: int) -> None:
        super().__init__()
        self.words = nn.Parameter(
            torch.zeros(config.vocab_size, config.hidden_size, dtype=torch.float16), requires_grad=False
        )
        self.places = nn.Parameter(torch.zeros(max_tokens, config.hidden_size), requires_grad=False)
        self.norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))
        self.requires_grad_(False)

    def forward(self, rows: Tensor) -> Tensor:
        """Token ids plus 1, 0 is padding (n, L) -> (n, D)"""
        used = (rows > 0).float()
        places = self.places[: rows.shape[1]]
        states = self.norm(F.embedding((rows - 1).clamp(min=0), self.words).float() + places)
        mask = (1 - used)[:, None, None, :] * MASKED
        for layer in self.layers:
            states = layer(states, mask)
        mean = (states * used[:, :, None]).sum(1) / used.sum(1).clamp(min=1)[:, None]
        return F.normalize(mean, dim=-1)


# The names of a layer's parts, and those that they have in a file of weights.
PARTS = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "attended": "attention.output.dense", "attended_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense", "down": "output.dense", "down_norm": "output.LayerNorm",
}  # fmt: skip


def load_bert(folder: Path, max_tokens: int) -> SentenceBert:
    """Load the BERT of a folder with config.json and model.safetensors. Raises SpecError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config, path = read_config(folder), folder / WEIGHTS
    try:
        weights = {name.removeprefix("bert."): value for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise SpecError(f"encoder: {path} cannot be read: {error}") from None
    network = SentenceBert(config, max_tokens)
    try:
        network.load_state_dict(rename_weights(weights, config, max_tokens))
    except KeyError as error:
        raise SpecError(f"encoder: {path} has no {error.args[0]}; a BERT is expected") from None
    except RuntimeError as error:
        raise SpecError(
            f"encoder: {path} does not fit {CONFIG}: {str(error).splitlines()[-1].strip()}"
        ) from None
    if not all(bool(each.isfinite().all()) for each in network.parameters()):
        raise SpecError(f"encoder: {path} holds values that are no numbers, or beyond float16")
    return network.eval()


def rename_weights(weights: Mapping[str, Tensor], config: BertConfig, max_tokens: int) -> dict[str, Tensor]:
    """Return the weights under the names that they have here. Raises KeyError."""
    kind = weights["embeddings.token_type_embeddings.weight"][0]  # of the first of two sentences
    renamed = {
        "words": weights["embeddings.word_embeddings.weight"],
        "places": weights["embeddings.position_embeddings.weight"][:max_tokens] + kind,
        "norm.weight": weights["embeddings.LayerNorm.weight"],
        "norm.bias": weights["embeddings.LayerNorm.bias"],
    }
    for layer in range(config.num_hidden_layers):
        for name, theirs in PARTS.items():
            for part in ("weight", "bias"):
                renamed[f"layers.{layer}.{name}.{part}"] = weights[f"encoder.layer.{layer}.{theirs}.{part}"]
    return renamed
