"""From a tower's features into the shared space."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Head(nn.Module):
    """``normalize(linear(x) + mlp(x))`` of standardised features.

    The linear part learns most of the map at once, the other bends it; either alone finds fewer.
    """

    def __init__(self, width: int, dim: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.dropout = nn.Dropout(dropout)
        self.straight = nn.Linear(width, dim)
        self.bent = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))

    def standardise_by(self, features: Tensor) -> None:
        """Set mean and deviation, once and before training, from features ``(n, width)``."""
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0) + 1e-3)  # a feature that never fires must not be blown up

    def forward(self, features: Tensor) -> Tensor:
        """``(n, width)`` -> ``(n, dim)`` float32 unit rows."""
        x = self.dropout((features - self.mean) / self.deviation)
        return functional.normalize((self.straight(x) + self.bent(x)).float(), dim=-1)


class NamedClasses(nn.Module):
    """A picture head that also hears what a classifier recognises.

    To the head's embedding it adds the mean of the class names' embeddings, weighted by the classifier's
    probabilities. So a thing that no caption mentions is found by its name. Where the classifier recognises nothing,
    the probabilities are flat and the sum, of centred vectors, is near zero.

    Source:
        Norouzi et al. 2013, "Zero-Shot Learning by Convex Combination of Semantic Embeddings".
    """

    def __init__(self, head: nn.Module, classifier: nn.Module, names: Tensor, *, weight: float) -> None:
        """Join the two.

        Args:
            head: features to unit rows.
            classifier: the same features to logits, one for each row of ``names``.
            names: ``(n_classes, dim)``, see ``centred_names``.
            weight: length of the sum for a class that is certain; the head's embedding has length 1.
        """
        super().__init__()
        self.head, self.classifier, self.weight = head, classifier, weight
        self.names: Tensor
        self.register_buffer("names", names)

    def forward(self, features: Tensor) -> Tensor:
        """``(n, width)`` -> ``(n, dim)`` float32 unit rows."""
        recognised = self.classifier(features).softmax(-1) @ self.names
        return functional.normalize(self.head(features) + self.weight * recognised, dim=-1)


def centred_names(embeddings: Tensor, names_of_class: Tensor) -> Tensor:
    """One vector a class: the mean direction of its names, less what all classes share.

    Args:
        embeddings: ``(n_names, dim)`` unit rows.
        names_of_class: ``(n_classes, n_names)`` bool, at least one true in each row.

    Returns:
        ``(n_classes, dim)`` float32, with a mean of zero.
    """
    means = functional.normalize(names_of_class.float() @ embeddings, dim=-1)
    return means - means.mean(0)
