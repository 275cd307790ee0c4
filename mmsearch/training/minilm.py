"""all-MiniLM-L6-v2, a six-layer BERT, as plain torch: its weights, its tokenizer, nothing of its library."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CONTEXT_LENGTH = 64
"""Tokens kept, the two special ones included; captions have 5 to 40."""


class Layer(nn.Module):
    """One transformer block, normalised after each residual as BERT does."""

    def __init__(self, width: int, heads: int, inner: int, epsilon: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.mixed = nn.Linear(width, width)
        self.mixed_norm = nn.LayerNorm(width, eps=epsilon)
        self.inner = nn.Linear(width, inner)
        self.outer = nn.Linear(inner, width)
        self.outer_norm = nn.LayerNorm(width, eps=epsilon)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """``(n, length, width)`` -> the same; ``bias`` ``(n, 1, 1, length)`` is added to the attention logits."""
        n, length, width = x.shape
        query, key, value = (
            part(x).view(n, length, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        logits = query @ key.transpose(2, 3) / math.sqrt(width // self.heads) + bias
        mixed = (logits.softmax(-1) @ value).transpose(1, 2).reshape(n, length, width)
        x = self.mixed_norm(x + self.mixed(mixed))
        out: Tensor = self.outer_norm(x + self.outer(functional.gelu(self.inner(x))))
        return out


class MiniLM(nn.Module):
    """Token ids to one unit vector a text: the mean over its tokens, as the model was trained."""

    def __init__(
        self, *, vocabulary: int, positions: int, width: int, layers: int, heads: int, inner: int, epsilon: float
    ) -> None:
        super().__init__()
        self.width = width
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.layers = nn.ModuleList(Layer(width, heads, inner, epsilon) for _ in range(layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """``(n, length)`` int64 twice -> ``(n, width)`` float32 unit rows; padding changes nothing."""
        kept = attention_mask.to(torch.float32)
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.norm(self.words(input_ids) + self.positions(place))
        bias = ((1.0 - kept) * -1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, bias)
        total = (x * kept[..., None]).sum(1)
        return functional.normalize(total, dim=-1)


def load_minilm(folder: Path) -> MiniLM:
    """Read ``config.json`` and ``model.safetensors`` as the Hugging Face library writes them.

    Raises:
        FileNotFoundError: one of the two is missing.
        RuntimeError: the weights do not fit a BERT of that configuration.
    """
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = MiniLM(
        vocabulary=config["vocab_size"],
        positions=config["max_position_embeddings"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        inner=config["intermediate_size"],
        epsilon=config["layer_norm_eps"],
    )
    model.load_state_dict(_renamed(load_file(folder / "model.safetensors")))
    return model.eval()


_NAMES = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "mixed",
    "attention.output.LayerNorm": "mixed_norm",
    "intermediate.dense": "inner",
    "output.dense": "outer",
    "output.LayerNorm": "outer_norm",
}


def _renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    words = weights["embeddings.word_embeddings.weight"]
    # Every text is one segment, so the vector of segment 0 is a constant: it goes into the word table.
    renamed = {
        "words.weight": words + weights["embeddings.token_type_embeddings.weight"][0],
        "positions.weight": weights["embeddings.position_embeddings.weight"],
        "norm.weight": weights["embeddings.LayerNorm.weight"],
        "norm.bias": weights["embeddings.LayerNorm.bias"],
    }
    for name, value in weights.items():
        if name.startswith("encoder.layer."):
            _, _, number, rest = name.split(".", 3)
            part, kind = rest.rsplit(".", 1)
            renamed[f"layers.{number}.{_NAMES[part]}.{kind}"] = value
    return renamed


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer beside the weights, set to pad a batch and to cut at ``CONTEXT_LENGTH``."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(CONTEXT_LENGTH)
    tokenizer.enable_padding()
    return tokenizer


@torch.no_grad()
def encode(model: MiniLM, tokenizer: Any, texts: Sequence[str], *, batch: int = 64) -> Tensor:
    """n texts -> ``(n, width)`` float32 unit rows, in their order."""
    features = torch.empty(len(texts), model.width)
    by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(texts), batch):
        rows = by_length[start : start + batch]
        encodings = tokenizer.encode_batch([texts[i] for i in rows])
        ids = torch.tensor([encoding.ids for encoding in encodings])
        mask = torch.tensor([encoding.attention_mask for encoding in encodings])
        features[rows] = model(ids, mask)
    return features
