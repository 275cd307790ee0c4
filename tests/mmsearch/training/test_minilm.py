from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mmsearch.training.minilm import MiniLM, encode, load_minilm, load_tokenizer
from tests.mmsearch.training.conftest import write_tokenizer

WIDTH, HEADS, INNER = 16, 2, 32


def _weights() -> dict[str, Tensor]:
    """Random weights under the names that the Hugging Face library writes."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "embeddings.word_embeddings.weight": (12, WIDTH),
        "embeddings.position_embeddings.weight": (20, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
        "embeddings.position_ids": (1, 20),
        "pooler.dense.weight": (WIDTH, WIDTH),
    }
    for number in range(2):
        layer = f"encoder.layer.{number}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= {
                f"{layer}.attention.{name}.weight": (WIDTH, WIDTH),
                f"{layer}.attention.{name}.bias": (WIDTH,),
            }
        shapes |= {f"{layer}.intermediate.dense.weight": (INNER, WIDTH), f"{layer}.intermediate.dense.bias": (INNER,)}
        shapes |= {f"{layer}.output.dense.weight": (WIDTH, INNER), f"{layer}.output.dense.bias": (WIDTH,)}
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{layer}.{norm}.weight": (WIDTH,), f"{layer}.{norm}.bias": (WIDTH,)}
    return {name: torch.randn(*shape, generator=generator) * 0.3 for name, shape in shapes.items()}


def _load(folder: Path) -> MiniLM:
    save_file(_weights(), folder / "model.safetensors")
    config = {
        "vocab_size": 12,
        "max_position_embeddings": 20,
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "layer_norm_eps": 1e-12,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return load_minilm(folder)


def _torch_layer(weights: dict[str, Tensor], number: int) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, 0.0, "gelu", 1e-12, batch_first=True)
    own = {
        name.removeprefix(f"encoder.layer.{number}."): value
        for name, value in weights.items()
        if f"layer.{number}." in name
    }
    states = {}
    for kind in ("weight", "bias"):
        states[f"self_attn.in_proj_{kind}"] = torch.cat(
            [own[f"attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        )
        states[f"self_attn.out_proj.{kind}"] = own[f"attention.output.dense.{kind}"]
        states[f"linear1.{kind}"] = own[f"intermediate.dense.{kind}"]
        states[f"linear2.{kind}"] = own[f"output.dense.{kind}"]
        states[f"norm1.{kind}"] = own[f"attention.output.LayerNorm.{kind}"]
        states[f"norm2.{kind}"] = own[f"output.LayerNorm.{kind}"]
    layer.load_state_dict(states)
    return layer.train()  # the fast path of eval() rounds differently


def test_features_agree_with_the_transformer_of_torch(tmp_path: Path) -> None:
    ids = torch.tensor([[1, 5, 7, 3, 2]])
    weights = _weights()
    x = (
        weights["embeddings.word_embeddings.weight"][ids]
        + weights["embeddings.position_embeddings.weight"][:5]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    x = nn.functional.layer_norm(
        x, (WIDTH,), weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"]
    )
    for number in range(2):
        x = _torch_layer(weights, number)(x)
    expected = nn.functional.normalize(x.mean(1), dim=-1)
    torch.testing.assert_close(_load(tmp_path)(ids, torch.ones_like(ids)), expected, atol=1e-5, rtol=1e-5)


def test_padding_changes_no_text(tmp_path: Path) -> None:
    model = _load(tmp_path)
    ids, mask = torch.tensor([[1, 5, 2]]), torch.ones(1, 3, dtype=torch.int64)
    padded = nn.functional.pad(ids, (0, 6), value=9), nn.functional.pad(mask, (0, 6))
    torch.testing.assert_close(model(*padded), model(ids, mask))


def test_texts_are_encoded_in_their_order(tmp_path: Path) -> None:
    model = _load(tmp_path)
    write_tokenizer(tmp_path / "tokenizer.json", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog", "cat", "red"])
    tokenizer = load_tokenizer(tmp_path)
    texts = ["a red dog", "cat", "a dog a dog a cat", "dog"]
    together = encode(model, tokenizer, texts, batch=2)
    alone = torch.cat([encode(model, tokenizer, [text]) for text in texts])
    torch.testing.assert_close(together, alone)
    assert (together[0] - together[1]).norm() > 1e-3
