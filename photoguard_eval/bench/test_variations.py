"""Section 4.1 and Appendix C.2: image variations guided by a prompt."""

from photoguard_eval.app.assertions import Claims, Thresholds, compares_edits

EDITOR = "img2img"


def test_encoder_attack_beats_noise(claims: Claims, similarity_metric: str) -> None:
    """Variations under the encoder attack are less similar than variations under random noise."""
    claims.require("encoder-beats-noise", similarity_metric, EDITOR)


def test_diffusion_attack_beats_noise(claims: Claims, similarity_metric: str) -> None:
    """Variations under the diffusion attack are less similar than variations under random noise."""
    claims.require("diffusion-beats-noise", similarity_metric, EDITOR)


def test_diffusion_attack_beats_encoder_attack(claims: Claims, similarity_metric: str) -> None:
    """Variations under the diffusion attack are less similar than variations under the encoder attack."""
    claims.require("diffusion-beats-encoder", similarity_metric, EDITOR)


def test_protection_is_kept(thresholds: Thresholds, attack: str) -> None:
    """No attack protects less than when the baseline was recorded, and the noise floor has not moved."""
    thresholds.require(attack, EDITOR, compares_edits)
