import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from photoguard_eval.errors import MetricError
from photoguard_eval.metrics import METRICS, distribution_metrics, realism_scores

DISTRIBUTION = [metric.name for metric in distribution_metrics()]


def draw(count, dimension, seed, shift=0.0, scale=1.0):
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed)) * scale + shift


def score(name, edited, reference):
    return METRICS.create(name).instance.compute(edited, reference)


def test_fid_agrees_with_the_matrix_square_root():
    x, y = draw(200, 6, 0), draw(150, 6, 1, shift=0.5, scale=1.7)
    first, second = np.cov(x.double().numpy().T), np.cov(y.double().numpy().T)
    means = x.double().mean(0).numpy() - y.double().mean(0).numpy()
    expected = means @ means + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert score("fid", y, x) == pytest.approx(expected, rel=1e-6)


def test_fid_of_distant_gaussians_is_the_closed_form():
    x, y = draw(100_000, 2, 0), draw(100_000, 2, 1, shift=3.0, scale=2.0)
    # ‖μ₁ − μ₂‖² + Σ (σ₁ − σ₂)² for diagonal covariances.
    assert score("fid", y, x) == pytest.approx(2 * 9 + 2 * 1, rel=0.02)


def fid_by_singular_values(x, y):
    """FID of sample covariances AᵀA and BᵀB, at any rank: Tr (AᵀA BᵀB)^½ is the sum of singular values of A Bᵀ."""
    x, y = (features.double().numpy() for features in (x, y))
    a, b = ((features - features.mean(0)) / np.sqrt(len(features) - 1) for features in (x, y))
    means = x.mean(0) - y.mean(0)
    return means @ means + (a**2).sum() + (b**2).sum() - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum()


@pytest.mark.parametrize("count", [2, 4, 12, 60])
@pytest.mark.parametrize("change", [1e-3, 0.1, 1.0])
def test_fid_of_fewer_images_than_features_is_exact(count, change):
    x = draw(count, 128, 0)
    y = x + change * draw(count, 128, 1)
    assert score("fid", y, x) == pytest.approx(fid_by_singular_values(x, y), abs=2e-4)


def test_fid_of_equal_sets_is_zero():
    assert score("fid", draw(12, 128, 0), draw(12, 128, 0)) == pytest.approx(0, abs=1e-4)


def test_fid_of_sets_of_one_repeated_image_is_the_distance():
    """An attack may drive every edit to the same gray: covariances are then zero."""
    gray = torch.ones(6, 16)
    assert score("fid", gray, gray) == 0
    assert score("fid", gray, gray + 0.5) == pytest.approx(16 * 0.25, rel=1e-6)


def share_inside(points, manifold, neighbours):
    """Share of points within some manifold point's distance to its k-th neighbour, itself not counted."""
    inside = 0
    for point in points:
        for center in manifold:
            radius = np.sort(np.linalg.norm(manifold - center, axis=1))[neighbours]
            if np.linalg.norm(point - center) <= radius * (1 + 1e-9):
                inside += 1
                break
    return inside / len(points)


def test_precision_and_recall_agree_with_brute_force():
    x, y = draw(30, 3, 0), draw(25, 3, 1, shift=1.2)
    a, b = (features.double().numpy() for features in (x, y))
    assert score("precision", y, x) == pytest.approx(share_inside(b, a, 5))
    assert score("recall", y, x) == pytest.approx(share_inside(a, b, 5))
    assert 0 < score("precision", y, x) < 1


def test_recall_measures_with_the_edits_radii():
    """Of the original's edits only 1 (an unchanged edit) and 50 (in the wide ball of 100) lie in the edits' balls."""
    reference = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 1.0, 50.0])[:, None]
    edited = torch.tensor([100.0, 1.01, 1.02, 1.03, 1.04, 1.0, 1.05])[:, None]
    assert score("recall", edited, reference) == pytest.approx(2 / 7)
    assert score("recall", edited, reference) == pytest.approx(share_inside(reference.numpy(), edited.numpy(), 5))


@pytest.mark.parametrize("count", [2, 4, 5])
def test_precision_and_recall_of_few_images_use_all_neighbours(count):
    x, y = draw(count, 8, 0), draw(count, 8, 1, shift=0.8)
    a, b = (features.double().numpy() for features in (x, y))
    assert score("precision", y, x) == pytest.approx(share_inside(b, a, count - 1))
    assert score("recall", y, x) == pytest.approx(share_inside(a, b, count - 1))
    assert score("precision", x, x) == score("recall", x, x) == 1
    assert score("precision", x + 100, x) == score("recall", x + 100, x) == 0


@pytest.mark.parametrize("name", DISTRIBUTION)
def test_one_image_is_no_set(name):
    with pytest.raises(MetricError, match="at least 2 images"):
        score(name, draw(1, 8, 0), draw(4, 8, 1))


@pytest.mark.parametrize("name", DISTRIBUTION)
@pytest.mark.parametrize("features", [draw(4, 9, 1), draw(4, 8, 1)[0]])
def test_features_that_do_not_fit_are_refused(name, features):
    with pytest.raises(MetricError, match=r"expected \(N, D\)"):
        score(name, draw(4, 8, 0), features)


@pytest.mark.parametrize("name", DISTRIBUTION)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(name, value):
    broken = draw(6, 8, 0)
    broken[3, 2] = value
    for pair in ((broken, draw(6, 8, 1)), (draw(6, 8, 1), broken)):
        with pytest.raises(MetricError, match="features that are NaN or infinite"):
            score(name, *pair)


def test_realism_falls_with_distance():
    references = draw(40, 4, 0)
    near, far = references.mean(dim=0, keepdim=True), references[:1] + 20
    scores = realism_scores(torch.cat([near, far]), references, 3)
    assert scores[1] < 0.2 < 1 < scores[0]


@pytest.mark.parametrize("count", [11, 12])
def test_realism_is_the_best_ratio_of_equation_3(count):
    references, features = draw(count, 3, 0).double().numpy(), draw(5, 3, 1).double().numpy()
    distances = np.linalg.norm(references[:, None] - references[None], axis=2)
    radii = np.sort(distances, axis=1)[:, 3]
    kept = radii <= np.median(radii)
    expected = [(radii[kept] / np.linalg.norm(references[kept] - point, axis=1)).max() for point in features]
    scores = realism_scores(torch.from_numpy(features), torch.from_numpy(references), 3)
    assert scores.tolist() == pytest.approx(expected, rel=1e-9)


def test_realism_leaves_out_references_far_from_all_others():
    references = torch.tensor([[0.0], [1.0], [2.0], [3.0], [1000.0]])
    # The outlier's ball reaches to 3 and would make the point at 900 realistic.
    assert realism_scores(torch.tensor([[900.0]]), references, 1)[0] < 0.01


def test_realism_of_an_image_that_is_a_reference_is_finite():
    references = draw(10, 4, 0)
    assert realism_scores(references, references, 3).isfinite().all()


@pytest.mark.parametrize("references", [draw(1, 4, 0), draw(5, 3, 0)])
def test_realism_refuses_what_does_not_fit(references):
    with pytest.raises(MetricError, match="at least 2 references"):
        realism_scores(draw(2, 4, 1), references, 3)


def test_realism_refuses_features_that_are_not_finite():
    with pytest.raises(MetricError, match="NaN or infinite"):
        realism_scores(torch.full((2, 4), float("nan")), draw(5, 4, 0), 3)
