"""Presets: how many cases, how they are edited, and how long the attacks run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from photoguard_eval.diffusion import EDITORS, EditSettings, ModelIdentity
from photoguard_eval.errors import ConfigurationError, UnknownNameError

DEFAULT_ATTACKS = ("noise", "encoder", "diffusion")
"""The rows of the paper's tables."""


@dataclass(frozen=True)
class Preset:
    """The size of an evaluation.

    Attributes:
        name: Identifier on the command line.
        description: What it is for, one sentence.
        cases: How many cases, spread over the dataset; None for all.
        edit: Settings of the edits. Every registered editor that runs on the model is used.
        attack_defaults: Constructor arguments by the attack's name, used where a spec gives none.
        attack_steps: Gradient steps of the other gradient attacks of the package, likewise; None for their own.
    """

    name: str
    description: str
    cases: int | None
    edit: EditSettings
    attack_defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    attack_steps: int | None = None

    def settings(self, editor: str, model: ModelIdentity, changes: Mapping[str, str]) -> EditSettings:
        """Return the settings of an editor on a model; one that it does not read is at its default.

        Args:
            editor: Its name.
            model: What it runs on; a checkpoint of few steps prescribes some of the settings.
            changes: Settings that were asked for, by name.

        Raises:
            ConfigurationError: If a change names no setting, or its value is out of range.
        """
        settings = self.edit.changed(**{**model.settings, **changes})
        return settings.only(EDITORS.find(editor).reads_settings)


def parse_settings(texts: Sequence[str]) -> dict[str, str]:
    """Read settings of the form `name=value`.

    Raises:
        ConfigurationError: If one is of another form.
    """
    for text in texts:
        if "=" not in text:
            known = ", ".join(EditSettings.model_fields)
            raise ConfigurationError(f"{text!r} is no setting; expected NAME=VALUE with one of {known}.")
    return dict(text.split("=", 1) for text in texts)


def _edit(steps: int) -> EditSettings:
    """Edit with guidance 7.5 and eta 1 (Table 8) in the given number of steps."""
    return EditSettings(num_inference_steps=steps, guidance_scale=7.5, eta=1.0)


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "smoke",
            "Whether everything runs: 4 cases, a few steps; its figures mean nothing.",
            4,
            _edit(4),
            {"encoder": {"steps": 10}, "diffusion": {"steps": 4, "denoising_steps": 2}},
            attack_steps=4,
        ),
        Preset(
            "ci",
            "Whether something broke: 12 cases, edits of 20 steps, shortened attacks.",
            12,
            _edit(20),
            {"encoder": {"steps": 60}, "diffusion": {"steps": 24}},
            attack_steps=24,
        ),
        Preset(
            "paper",
            "The paper's setting: every case, Table 8's 100 steps, Table 9's 200 gradient steps.",
            None,
            _edit(100),
        ),
    )
}


def find_preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        UnknownNameError: If there is none of that name.
    """
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return PRESETS[name]
