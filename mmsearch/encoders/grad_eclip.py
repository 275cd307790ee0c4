"""Where a vision transformer of open_clip looks: Grad-ECLIP; needs torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsearch.arrays import Embeddings
from mmsearch.encoders.protocol import Heat


def has_class_token(visual: Any) -> bool:
    """Whether a picture tower is one of open_clip's own transformers, read out at its class token.

    Towers from timm, residual networks, and transformers that pool their patches have no such token to ask.
    """
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    return (
        isinstance(visual, VisionTransformer)
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and visual.proj is not None
        and all(type(block) is ResidualAttentionBlock for block in visual.transformer.resblocks)
    )


def grad_eclip(visual: Any, picture: Any, directions: Embeddings) -> tuple[Heat, Embeddings]:
    """How much each patch of one picture adds to its cosine with each direction.

    In each block the class token takes up a sum of the patches' values, weighed by attention. A patch's heat is its
    value along the gradient of the score there, where positive, times how well its key fits the class token's query;
    attention itself, which the softmax lets a few patches win, is left out. The blocks are summed up: the last one
    alone says little where a tower has read the patches before (see benchmarks/LOG.md). Costs one pass, and one
    gradient for each direction.

    Args:
        visual: a tower for which ``has_class_token`` holds, float32.
        picture: ``(1, 3, size, size)`` float32 tensor, normalised as the tower wants it.
        directions: ``(m, dim)`` float32; what is explained is the cosine with each.

    Returns:
        ``(m, rows, columns)`` float32 heat, 0 or more, a place for each patch; and the picture's ``(dim,)``
        float32 unit vector as found on the way.

    Source:
        Zhao et al., Gradient-based Visual Explanation for Transformer-based CLIP, ICML 2024; the sum is ours.
    """
    import torch
    from torch.nn import functional

    with torch.enable_grad():
        tokens = visual._embeds(picture).detach().requires_grad_()
        mixtures, values, fits = [], [], []
        for block in visual.transformer.resblocks:
            attention = block.attn
            query, key, value = functional.linear(
                block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias
            ).chunk(3, dim=-1)
            mixed = functional.scaled_dot_product_attention(
                *(_heads(part, attention.num_heads) for part in (query, key, value))
            )
            mixed = mixed.transpose(1, 2).flatten(2)
            tokens = tokens + block.ls_1(attention.out_proj(mixed))
            tokens = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
            mixtures.append(mixed)
            values.append(value[0, 1:].detach())
            fits.append(_fit(query[0, :1].detach(), key[0, 1:].detach()))
        embedding = functional.normalize(visual._pool(tokens)[0] @ visual.proj, dim=-1)[0]
        scores = torch.from_numpy(np.array(directions)).to(embedding) @ embedding
        gradients = [torch.autograd.grad(score, mixtures, retain_graph=True) for score in scores]
    heat = torch.stack(
        [
            sum(torch.relu(value @ slope[0, 0]) * fit for value, slope, fit in zip(values, slopes, fits, strict=True))
            for slopes in gradients
        ]
    )
    maps: Heat = heat.reshape(-1, *visual.grid_size).cpu().numpy()
    return maps, embedding.detach().cpu().numpy()


def _fit(query: Any, keys: Any) -> Any:
    """Cosine of each key with the query, brought from 0 for the least to 1 for the greatest."""
    import torch

    cosines = torch.nn.functional.cosine_similarity(query, keys, dim=-1)
    return (cosines - cosines.min()) / (cosines.max() - cosines.min()).clamp_min(torch.finfo(cosines.dtype).tiny)


def _heads(tokens: Any, count: int) -> Any:
    """``(1, n, width)`` -> ``(1, heads, n, width / heads)``."""
    return tokens.unflatten(-1, (count, -1)).transpose(1, 2)
