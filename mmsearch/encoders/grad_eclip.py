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
        and type(visual.transformer.resblocks[-1]) is ResidualAttentionBlock
    )


def grad_eclip(visual: Any, picture: Any, directions: Embeddings) -> tuple[Heat, Embeddings]:
    """How much each patch of one picture adds to its cosine with each direction.

    The class token of the last block is a sum of the patches' values, weighed by attention. A patch's heat is its
    value along the gradient of the score, times how well its key fits the class token's query; attention itself,
    which the softmax lets a few patches win, is left out. Costs one pass and a gradient through the last block for
    each direction.

    Args:
        visual: a tower for which ``has_class_token`` holds, float32.
        picture: ``(1, 3, size, size)`` float32 tensor, normalised as the tower wants it.
        directions: ``(m, dim)`` float32; what is explained is the cosine with each.

    Returns:
        ``(m, rows, columns)`` float32 heat, 0 or more, a place for each patch; and the picture's ``(dim,)``
        float32 unit vector as found on the way.

    Source:
        Zhao et al., Gradient-based Visual Explanation for Transformer-based CLIP, ICML 2024, equations 5 to 9.
    """
    import torch
    from torch.nn import functional

    block = visual.transformer.resblocks[-1]
    attention = block.attn
    entering = _entering_last_block(visual, picture)
    with torch.enable_grad():
        query, key, value = functional.linear(
            block.ln_1(entering), attention.in_proj_weight, attention.in_proj_bias
        ).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(
            *(_heads(part, attention.num_heads) for part in (query, key, value))
        )
        mixed = mixed.transpose(1, 2).flatten(2).requires_grad_()
        tokens = entering + block.ls_1(attention.out_proj(mixed))
        tokens = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
        embedding = functional.normalize(visual._pool(tokens)[0] @ visual.proj, dim=-1)[0]
        scores = torch.from_numpy(np.array(directions)).to(embedding) @ embedding
        gradients = [torch.autograd.grad(score, mixed, retain_graph=True)[0][0, 0] for score in scores]
    fits = functional.cosine_similarity(query[:, :1], key[:, 1:], dim=-1)[0]
    fits = (fits - fits.min()) / (fits.max() - fits.min()).clamp_min(torch.finfo(fits.dtype).tiny)
    heat = torch.relu(torch.stack(gradients) @ value[0, 1:].T * fits)
    maps: Heat = heat.reshape(-1, *visual.grid_size).cpu().numpy()
    return maps, embedding.detach().cpu().numpy()


def _entering_last_block(visual: Any, picture: Any) -> Any:
    """``(1, 1 + patches, width)`` tokens, the class token first, as the last block gets them."""
    import torch

    seen: list[Any] = []
    hook = visual.transformer.resblocks[-1].register_forward_pre_hook(lambda _, tokens: seen.append(tokens[0]))
    try:
        with torch.no_grad():
            visual(picture)
    finally:
        hook.remove()
    return seen[0]


def _heads(tokens: Any, count: int) -> Any:
    """``(1, n, width)`` -> ``(1, heads, n, width / heads)``."""
    return tokens.unflatten(-1, (count, -1)).transpose(1, 2)
