import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from photoguard_eval.errors import MetricError, UnknownNameError
from photoguard_eval.metrics import METRICS, realism_scores, select_extractor


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


@pytest.mark.parametrize("count", [2, 4, 12])
def test_fid_of_few_images_is_finite(count):
    x = draw(count, 128, 0)
    assert score("fid", x, x) == pytest.approx(0, abs=1e-3)
    assert 0 < score("fid", x + 1, x) < 1e4


def test_kid_agrees_with_its_definition():
    x, y = (features.double().numpy() for features in (draw(20, 5, 0), draw(20, 5, 1, shift=0.3)))

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def off_diagonal_mean(matrix):
        n = len(matrix)
        return (matrix.sum() - np.trace(matrix)) / (n * (n - 1))

    expected = off_diagonal_mean(kernel(x, x)) + off_diagonal_mean(kernel(y, y)) - 2 * kernel(x, y).mean()
    assert score("kid", torch.from_numpy(y), torch.from_numpy(x)) == pytest.approx(expected, rel=1e-4)


def test_kid_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    score("kid", draw(20, 5, 0), draw(20, 5, 1))
    assert torch.equal(torch.random.get_rng_state(), before)


def brute_force_precision(reference, edited, neighbours):
    """Share of edited points within some reference point's distance to its k-th neighbour."""
    inside = 0
    for point in edited:
        for center in reference:
            radius = np.sort(np.linalg.norm(reference - center, axis=1))[neighbours]
            if np.linalg.norm(point - center) < radius:
                inside += 1
                break
    return inside / len(edited)


def test_precision_and_recall_agree_with_brute_force():
    x, y = draw(30, 3, 0), draw(25, 3, 1, shift=1.2)
    assert score("precision", y, x) == pytest.approx(brute_force_precision(x.numpy(), y.numpy(), 5))
    assert score("recall", y, x) == pytest.approx(brute_force_precision(y.numpy(), x.numpy(), 5))
    assert 0 < score("precision", y, x) < 1


@pytest.mark.parametrize("count", [2, 4])
def test_precision_and_recall_of_few_images(count):
    x = draw(count, 8, 0)
    assert score("precision", x, x) == 1
    assert score("precision", x + 100, x) == 0
    assert score("recall", x + 100, x) == 0


@pytest.mark.parametrize("name", ["fid", "kid", "precision", "recall"])
def test_one_image_is_no_set(name):
    with pytest.raises(MetricError, match="at least 2 images"):
        score(name, draw(1, 8, 0), draw(4, 8, 1))


@pytest.mark.parametrize("name", ["fid", "kid", "precision", "recall"])
def test_features_that_do_not_fit_are_refused(name):
    with pytest.raises(MetricError, match=r"expected \(N, D\)"):
        score(name, draw(4, 8, 0), draw(4, 9, 1))


def test_realism_falls_with_distance():
    references = draw(40, 4, 0)
    near, far = references[:1] + 0.01, references[:1] + 20
    scores = realism_scores(torch.cat([near, far]), references, 3)
    assert scores[1] < 0.2 < 1 < scores[0]


def test_realism_is_the_best_ratio_of_equation_3():
    references, features = draw(12, 3, 0).numpy(), draw(2, 3, 1).numpy()
    distances = np.linalg.norm(references[:, None] - references[None], axis=2)
    radii = np.sort(distances, axis=1)[:, 3]
    kept = radii <= np.sort(radii)[(len(radii) - 1) // 2]
    expected = [(radii[kept] / np.linalg.norm(references[kept] - point, axis=1)).max() for point in features]
    scores = realism_scores(torch.from_numpy(features), torch.from_numpy(references), 3)
    assert scores.tolist() == pytest.approx(expected, rel=1e-4)


def test_an_embedded_model_always_uses_the_embedded_extractor(monkeypatch, tmp_path):
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "pt_inception-2015-12-05-6726825d.pth").write_bytes(b"weights")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert select_extractor("auto", embedded_model=True).identity.startswith("embedded clip ")
    assert select_extractor("auto", embedded_model=False).identity.startswith("inception-v3 ")


def test_missing_inception_weights_are_said(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MetricError, match=r"pt_inception-2015-12-05-6726825d\.pth"):
        select_extractor("inception", embedded_model=False)
    with pytest.warns(UserWarning, match="embedded extractor"):
        assert select_extractor("auto", embedded_model=False).identity.startswith("embedded")


def test_an_unknown_extractor_is_suggested():
    with pytest.raises(UnknownNameError, match="inception"):
        select_extractor("incepton", embedded_model=True)
