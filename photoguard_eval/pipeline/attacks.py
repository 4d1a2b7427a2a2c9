"""Attacks as a plan has them: built with a preset's defaults, or described by a process that has loaded their code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from photoguard_eval.attacks import ATTACKS, DEFAULT_STEPS, Attack, AttackChoice, Ball, EnsembleAttack, GradientAttack
from photoguard_eval.errors import ConfigurationError, DuplicateNameError
from photoguard_eval.pipeline.isolation import describe, described, facts_of
from photoguard_eval.pipeline.luggage import files_of, find_modules, search_path
from photoguard_eval.pipeline.presets import Preset, find_preset
from photoguard_eval.pipeline.session import PluginSource
from photoguard_eval.pipeline.sources import pickled, unpickled
from photoguard_eval.plugins.file_reads import files_read
from photoguard_eval.plugins.loading import READ_AT_IMPORT, distribution_of, installed
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.plugins.source_code import PACKAGE, is_of_this_package
from photoguard_eval.plugins.specs import parse, words
from photoguard_eval.results.rows import REFERENCES


@dataclass(frozen=True)
class PlannedAttack:
    """An attack of a plan.

    Attributes:
        plugin: The attack; what is known of it, if its code runs elsewhere.
        source: How another process builds it.
    """

    plugin: Plugin[Attack]
    source: PluginSource


def plan_attacks(
    attacks: Sequence[AttackChoice], preset: Preset, *, trusted: bool = False
) -> tuple[PlannedAttack, ...]:
    """Build the attacks that were asked for, with a preset's defaults; an attack given twice counts once.

    Attacks of others that are named by a spec are built in a process of their own, which describes them: this process
    never loads their code.

    Args:
        attacks: What was asked for.
        preset: Whose defaults they take.
        trusted: Whether attacks of others are built, and run, in this process too.

    Raises:
        DuplicateNameError: If two different attacks have the same label, or one that of a row of unprotected images.
        ConfigurationError: If there is none.
        PhotoguardError: If one cannot be built.
    """
    planned_attacks: dict[tuple[str, Ball | None], PlannedAttack] = {}
    named: dict[str, Plugin[Attack]] = {}
    for choice in attacks:
        planned = plan_attack(choice, preset, trusted=trusted)
        plugin = planned.plugin
        if plugin.label in REFERENCES:
            raise DuplicateNameError(
                f"The attack of {plugin.source} is named {plugin.label!r}, as a row of unprotected images is. "
                "Rename it."
            )
        planned_attacks.setdefault((plugin.row_label, plugin.declared.budget), planned)
        other = named.setdefault(plugin.row_label, plugin)
        if (other.source, other.fingerprint) != (plugin.source, plugin.fingerprint):
            raise DuplicateNameError(
                f"Two attacks are named {plugin.label!r}: of {other.source} and of {plugin.source}. Rename one of them."
            )
    if not planned_attacks:
        raise ConfigurationError("No attack was named. Give at least one, for example --attack noise.")
    return tuple(planned_attacks.values())


def plan_attack(choice: AttackChoice, preset: Preset, *, trusted: bool = False) -> PlannedAttack:
    """Build an attack, or have it described where its code is not this package's.

    Args:
        choice: A spec, see `photoguard_eval.plugins.registry`; a class; or an instance.
        preset: Whose defaults it takes.
        trusted: Whether an attack of others is built, and run, in this process too.

    Raises:
        PhotoguardError: If it cannot be built.
    """
    if isinstance(choice, str) and names_foreign_code(choice) and not trusted:
        return _described(PluginSource(choice, folder=str(Path.cwd())), preset)
    factory = ATTACKS.registered(parse(choice).name) if isinstance(choice, str) else ATTACKS.find(choice)
    plugin, files = built_with_files(choice, preset)
    spec = choice if isinstance(choice, str) else plugin.label
    source = PluginSource(spec, files=files, folder=str(Path.cwd()), search=search_path(files))
    if factory is None or is_of_this_package(factory):
        return PlannedAttack(plugin, source)
    # Its class was loaded here before, by whoever gave it; it works in a process of its own all the same.
    source = replace(source, pickled=pickled(factory, ATTACKS.kind, ", or run it with trusted=True"))
    return PlannedAttack(plugin, source if trusted else replace(source, described=facts_of(plugin)))


def _described(source: PluginSource, preset: Preset) -> PlannedAttack:
    facts = describe(source, preset.name)
    # Where it comes from is known here: an attack must not pass for another by what it says of itself.
    facts["source"] = _source_of(source.spec)
    files = tuple(facts.pop("files"))
    return PlannedAttack(described(facts), replace(source, described=facts, files=files, search=search_path(files)))


def _source_of(spec: str) -> str:
    name = parse(spec).name
    entry_point = installed(ATTACKS.entry_point_group, ATTACKS.kind).get(name)
    if entry_point is not None:
        return distribution_of(entry_point)
    return name if ":" in name else PACKAGE


def names_foreign_code(spec: str) -> bool:
    """Tell whether a spec, or one within its arguments, names code that is not this package's.

    Nothing is loaded to find out. What was registered in this process is loaded already, and does not count.

    Args:
        spec: Of an attack.
    """
    name, *others = words(spec)
    if ":" in name or {name, *others} & set(installed(ATTACKS.entry_point_group, ATTACKS.kind)):
        return True
    return any(re.search(r"\.py:|^[\w.]+:[A-Za-z_]\w*$", word) for word in others)


def build(source: PluginSource, preset: str) -> Plugin[Attack]:
    """Build an attack in this process, which loads its code.

    Args:
        source: How.
        preset: Name of the preset, whose defaults it takes.

    Raises:
        PhotoguardError: If it cannot be built.
    """
    find_modules(source)
    if not source.pickled:
        return create_attack(source.spec, find_preset(preset))
    return create_attack(source.spec, find_preset(preset), unpickled(source, ATTACKS.kind))


def built_with_files(choice: AttackChoice, preset: Preset) -> tuple[Plugin[Attack], tuple[str, ...]]:
    """Build an attack in this process, and return what files it is made of and given.

    Args:
        choice: What was asked for.
        preset: Whose defaults it takes.

    Raises:
        PhotoguardError: If it cannot be built.
    """
    with files_read() as read:
        plugin = create_attack(choice, preset)
    spec = choice if isinstance(choice, str) else plugin.label
    return plugin, files_of(spec, type(plugin.instance), read | READ_AT_IMPORT)


def create_attack(choice: AttackChoice, preset: Preset, factory: type[Attack] | None = None) -> Plugin[Attack]:
    """Build an attack with a preset's defaults, as far as its constructor takes them.

    An attack that leaves the number of gradient steps to `GradientAttack` takes the preset's number, though its own
    constructor has no such argument; one that fixes another number keeps it, see `notes_on`.

    Args:
        choice: What was asked for.
        preset: The preset.
        factory: The class that the name of a spec stands for; by default the one that has the name.
    """
    found = factory or ATTACKS.find(choice)
    defaults = preset.attack_defaults.get(found.name)
    if defaults is None and preset.attack_steps and issubclass(found, (GradientAttack, EnsembleAttack)):
        defaults = {"steps": preset.attack_steps}
    if factory is not None and isinstance(choice, str):
        attack = ATTACKS.create_of(factory, choice, defaults)
    else:
        attack = ATTACKS.create(choice, defaults)
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
