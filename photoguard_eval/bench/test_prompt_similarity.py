"""Figure 7: the diffusion attack makes the model ignore the prompt."""

from photoguard_eval.app.assertions import Claims, Thresholds, follows_prompt


def test_diffusion_attack_lowers_prompt_similarity(claims: Claims, editor: str) -> None:
    """Edits under the diffusion attack are less similar to the prompt than edits of the original with another seed."""
    claims.require("diffusion-lowers-unselected-prompt-similarity", "clip_similarity", editor)


def test_prompt_similarity_is_kept(thresholds: Thresholds, attack: str, editor: str) -> None:
    """No edit of an immunized image follows the prompt better than when the baseline was recorded."""
    thresholds.require(attack, editor, follows_prompt)


def test_original_edits_are_as_recorded(thresholds: Thresholds, editor: str) -> None:
    """Edits of the originals follow the prompt as they did when the baseline was recorded."""
    thresholds.require("original", editor, follows_prompt)


def test_edits_of_the_originals_with_another_seed_are_as_recorded(thresholds: Thresholds, editor: str) -> None:
    """How far chance alone moves an edit, and how well it follows the prompt, have not moved."""
    thresholds.require("re-roll", editor, lambda _metric: True)
