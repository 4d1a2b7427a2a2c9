"""Attacks: methods that immunize an image, behind one contract."""

from __future__ import annotations

from photoguard_eval.attacks.base import ATTACKS, Attack, AttackBatch, ThreatModel, register_attack
from photoguard_eval.attacks.diffusion import DiffusionAttack
from photoguard_eval.attacks.encoder import EncoderAttack
from photoguard_eval.attacks.folder import FolderAttack
from photoguard_eval.attacks.noise import NoiseAttack

__all__ = [
    "ATTACKS",
    "Attack",
    "AttackBatch",
    "DiffusionAttack",
    "EncoderAttack",
    "FolderAttack",
    "NoiseAttack",
    "ThreatModel",
    "register_attack",
]
