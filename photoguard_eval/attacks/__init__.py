"""Attacks: methods that immunize an image, behind one contract."""

from __future__ import annotations

from photoguard_eval.attacks.amortised import AmortisedAttack
from photoguard_eval.attacks.attention import AdvPaintAttack, DaynAttack
from photoguard_eval.attacks.ball import DEFAULT_BUDGET, Ball, distinct_balls
from photoguard_eval.attacks.base import ATTACKS, Attack, AttackChoice, register_attack
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.blurguard import BlurGuardAttack
from photoguard_eval.attacks.combined import EnsembleAttack, RobustAttack
from photoguard_eval.attacks.denoising import AceAttack, AdvDmAttack, MistAttack, SdsAttack
from photoguard_eval.attacks.diffusion import DiffusionAttack
from photoguard_eval.attacks.encoder import EncoderAttack, PidAttack
from photoguard_eval.attacks.fields import parameters
from photoguard_eval.attacks.first_step import DiffusionGuardAttack
from photoguard_eval.attacks.folder import FolderAttack
from photoguard_eval.attacks.gradient import DEFAULT_STEPS, GradientAttack
from photoguard_eval.attacks.noise import NoiseAttack
from photoguard_eval.attacks.threat_model import Declaration, ThreatModel

__all__ = [
    "ATTACKS",
    "DEFAULT_BUDGET",
    "DEFAULT_STEPS",
    "AceAttack",
    "AdvDmAttack",
    "AdvPaintAttack",
    "AmortisedAttack",
    "Attack",
    "AttackBatch",
    "AttackChoice",
    "Ball",
    "BlurGuardAttack",
    "DaynAttack",
    "Declaration",
    "DiffusionAttack",
    "DiffusionGuardAttack",
    "EncoderAttack",
    "EnsembleAttack",
    "FolderAttack",
    "GradientAttack",
    "MistAttack",
    "NoiseAttack",
    "PidAttack",
    "RobustAttack",
    "SdsAttack",
    "ThreatModel",
    "distinct_balls",
    "parameters",
    "register_attack",
]
