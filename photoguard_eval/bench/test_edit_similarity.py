"""Tables 6 and 10: edits of immunized images are unlike the edits of the originals."""

from photoguard_eval.app.assertions import Claims, Thresholds, compares_edits

EDITOR = "inpaint"


def test_encoder_attack_beats_noise(claims: Claims, similarity_metric: str) -> None:
    """Edits under the encoder attack are less similar than edits under random noise."""
    claims.require("encoder-beats-noise", similarity_metric, EDITOR)


def test_diffusion_attack_beats_noise(claims: Claims, similarity_metric: str) -> None:
    """Edits under the diffusion attack are less similar than edits under random noise."""
    claims.require("diffusion-beats-noise", similarity_metric, EDITOR)


def test_diffusion_attack_beats_encoder_attack(claims: Claims, similarity_metric: str) -> None:
    """Edits under the diffusion attack are less similar than edits under the encoder attack."""
    claims.require("diffusion-beats-encoder", similarity_metric, EDITOR)


def test_protection_is_kept(thresholds: Thresholds, attack: str) -> None:
    """No attack protects less than when the baseline was recorded, and the noise floor has not moved."""
    thresholds.require(attack, EDITOR, compares_edits)
