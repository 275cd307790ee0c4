from __future__ import annotations

import torch
from torch import nn

from mmsearch.training.heads import Head, NamedClasses, centred_names


def test_head_ignores_scale_and_offset_of_its_features_once_standardised() -> None:
    features = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    head = Head(6, 4, hidden=8, dropout=0.0).eval()
    head.standardise_by(features)
    plain = head(features)
    head.standardise_by(features * 100 + 7)
    torch.testing.assert_close(head(features * 100 + 7), plain, atol=5e-3, rtol=0)
    torch.testing.assert_close(plain.norm(dim=-1), torch.ones(50))


def test_a_feature_that_never_fires_stays_finite() -> None:
    head = Head(3, 2, hidden=4, dropout=0.0).eval()
    head.standardise_by(torch.zeros(10, 3))
    assert torch.isfinite(head(torch.ones(1, 3))).all()


def test_names_are_centred_means_of_what_names_a_class() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    names_of_class = torch.tensor([[True, True, False], [False, False, True]])
    half = 2**-0.5
    means = torch.tensor([[half, half], [-1.0, 0.0]])
    torch.testing.assert_close(centred_names(embeddings, names_of_class), means - means.mean(0))


def test_a_recognised_class_draws_the_picture_towards_its_name() -> None:
    head = Head(4, 3, hidden=4, dropout=0.0).eval()
    names = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    classifier = nn.Linear(4, 2)
    with torch.no_grad():
        classifier.weight.copy_(torch.tensor([[50.0, 0, 0, 0], [-50.0, 0, 0, 0]]))
        classifier.bias.zero_()
        features = torch.tensor([[1.0, 0.5, 0.2, 0.1], [0.0, 0.5, 0.2, 0.1]])
        plain = head(features)
        joined = NamedClasses(head, classifier, names, weight=0.5)(features)
    expected = nn.functional.normalize(plain[0] + torch.tensor([0.0, 0.0, 0.5]), dim=0)
    torch.testing.assert_close(joined[0], expected)
    torch.testing.assert_close(joined[1], plain[1])  # both classes are as likely: nothing was recognised
