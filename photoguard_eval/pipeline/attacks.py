"""Attacks as a plan has them: built with a preset's defaults, or described by a process that has loaded their code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from photoguard_eval.attacks import ATTACKS, DEFAULT_STEPS, Attack, Ball, EnsembleAttack, GradientAttack
from photoguard_eval.errors import ConfigurationError, DuplicateNameError
from photoguard_eval.pipeline.isolation import describe, described
from photoguard_eval.pipeline.luggage import files_of, search_path
from photoguard_eval.pipeline.presets import Preset, find_preset
from photoguard_eval.pipeline.session import AttackSource
from photoguard_eval.plugins.file_reads import files_read
from photoguard_eval.plugins.loading import READ_AT_IMPORT, installed
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.results.rows import REFERENCES


@dataclass(frozen=True)
class PlannedAttack:
    """An attack of a plan.

    Attributes:
        plugin: The attack; what is known of it, if its code runs elsewhere.
        source: How another process builds it.
    """

    plugin: Plugin[Attack]
    source: AttackSource


def plan_attacks(specs: Sequence[str], preset: Preset, *, trusted: bool = False) -> tuple[PlannedAttack, ...]:
    """Build the attacks that specs name, with a preset's defaults; an attack given twice counts once.

    Attacks of others are built in a process of their own, which describes them: this process never loads their code.

    Args:
        specs: Of the attacks.
        preset: Whose defaults they take.
        trusted: Whether attacks of others are built in this process too.

    Raises:
        DuplicateNameError: If two different attacks have the same label, or one that of a row of unprotected images.
        ConfigurationError: If there is none.
        PhotoguardError: If one cannot be built.
    """
    attacks: dict[tuple[str, Ball | None], PlannedAttack] = {}
    named: dict[str, Plugin[Attack]] = {}
    for spec in dict.fromkeys(specs):
        planned = plan_attack(spec, preset, trusted=trusted)
        plugin = planned.plugin
        if plugin.label in REFERENCES:
            raise DuplicateNameError(
                f"The attack of {plugin.source} is named {plugin.label!r}, as a row of unprotected images is. "
                "Rename it."
            )
        attacks.setdefault((plugin.row_label, plugin.declared.budget), planned)
        other = named.setdefault(plugin.row_label, plugin)
        if (other.source, other.fingerprint) != (plugin.source, plugin.fingerprint):
            raise DuplicateNameError(
                f"Two attacks are named {plugin.label!r}: of {other.source} and of {plugin.source}. Rename one of them."
            )
    if not attacks:
        raise ConfigurationError("No attack was named. Give at least one, for example --attack noise.")
    return tuple(attacks.values())


def plan_attack(spec: str, preset: Preset, *, trusted: bool = False) -> PlannedAttack:
    """Build the attack that a spec names, or have it described where its code is not this package's.

    Args:
        spec: See `photoguard_eval.plugins.registry`.
        preset: Whose defaults it takes.
        trusted: Whether an attack of others is built in this process too.

    Raises:
        PhotoguardError: If it cannot be built.
    """
    source = AttackSource(spec, folder=str(Path.cwd()))
    if trusted or not names_foreign_code(spec):
        plugin, files = built_with_files(source, preset)
        return PlannedAttack(plugin, replace(source, files=files, search=search_path(files)))
    facts = describe(source, preset.name)
    files = tuple(facts.pop("files"))
    return PlannedAttack(described(facts), replace(source, described=facts, files=files, search=search_path(files)))


def names_foreign_code(spec: str) -> bool:
    """Tell whether a spec, or one within its arguments, names code that is not this package's.

    Nothing is loaded to find out. What was registered in this process is loaded already, and does not count.

    Args:
        spec: Of an attack.
    """
    name, *arguments = spec.split(",")
    others = set(installed(ATTACKS.entry_point_group, ATTACKS.kind))
    words = {word.strip() for part in arguments for word in re.split(r"[=+();]", part)}
    if ":" in name or name.strip() in others or words & others:
        return True
    return any(re.search(r"\.py:|^[\w.]+:[A-Za-z_]\w*$", word) for word in words)


def build(source: AttackSource, preset: str) -> Plugin[Attack]:
    """Build an attack in this process, which loads its code.

    Args:
        source: How.
        preset: Name of the preset, whose defaults it takes.

    Raises:
        PhotoguardError: If it cannot be built.
    """
    return create_attack(source.spec, find_preset(preset))


def built_with_files(source: AttackSource, preset: Preset) -> tuple[Plugin[Attack], tuple[str, ...]]:
    """Build an attack in this process, and return what files it is made of and given.

    Args:
        source: How.
        preset: Whose defaults it takes.

    Raises:
        PhotoguardError: If it cannot be built.
    """
    with files_read() as read:
        plugin = create_attack(source.spec, preset)
    return plugin, files_of(source.spec, type(plugin.instance), read | READ_AT_IMPORT)


def create_attack(spec: str, preset: Preset) -> Plugin[Attack]:
    """Build an attack with a preset's defaults, as far as its constructor takes them.

    An attack that leaves the number of gradient steps to `GradientAttack` takes the preset's number, though its own
    constructor has no such argument; one that fixes another number keeps it, see `notes_on`.
    """
    factory = ATTACKS.find(spec)
    defaults = preset.attack_defaults.get(factory.name)
    if defaults is None and preset.attack_steps and issubclass(factory, (GradientAttack, EnsembleAttack)):
        defaults = {"steps": preset.attack_steps}
    attack = ATTACKS.create(spec, defaults)
    instance, steps = attack.instance, (defaults or {}).get("steps", DEFAULT_STEPS)
    if "steps" in attack.left_out and isinstance(instance, GradientAttack) and instance.steps == DEFAULT_STEPS:
        instance.take_steps(steps)
        attack = replace(
            attack,
            arguments={**attack.arguments, "steps": steps},
            left_out=tuple(name for name in attack.left_out if name != "steps"),
        )
    return attack


def notes_on(attack: Plugin[Attack], preset: Preset) -> tuple[str, ...]:
    """Say which of a preset's defaults an attack does not take, which makes the comparison with others unfair."""
    if not attack.left_out:
        return ()
    names = " and ".join(attack.left_out)
    steps = getattr(attack.instance, "steps", None)
    own = f" and runs with {steps} steps" if "steps" in attack.left_out and isinstance(steps, int) else ""
    return (
        f"{attack.label} does not take {names} of the preset {preset.name!r}{own}: its constructor has no such "
        "argument. Give it one, or `**options` that it hands on to super().__init__().",
    )
