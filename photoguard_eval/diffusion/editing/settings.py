"""The hyper-parameters of an edit."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from photoguard_eval.diffusion.guidance import Scales
from photoguard_eval.errors import ConfigurationError

SAMPLING = frozenset({"guidance_scale", "num_inference_steps", "eta"})
"""The settings that `photoguard_eval.diffusion.sampling.sample` reads, and so every editor that calls it."""


class EditSettings(BaseModel):
    """Hyper-parameters of an edit; the defaults are the paper's (Table 8).

    Attributes:
        guidance_scale: Weight of the prompt in classifier-free guidance; 1 is no guidance.
        image_guidance_scale: Weight of the image, for an instruction-following checkpoint; 1 is no guidance. 1.5 is the
            default of its authors.
        num_inference_steps: Steps of the sampler.
        eta: Noise of the sampler: 0 is deterministic DDIM, 1 as much noise as DDPM. A consistency model has its own.
        strength: How far a variation moves away from the image, in (0, 1]: the share of the steps that are run. The
            paper gives none.
        composite: Whose pixels the kept region of an inpainted edit shows: the original's, for edits of originals
            and of immunized images alike, as the released code does, so that the perturbation itself is not counted
            as a difference; or the immunized image's.
        sample_latents: Whether images are encoded to a sample of their latent distribution, as the pipelines do, or
            to its mean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    guidance_scale: float = Field(7.5, ge=0, allow_inf_nan=False)
    image_guidance_scale: float = Field(1.5, ge=0, allow_inf_nan=False)
    num_inference_steps: int = Field(100, ge=1, le=1000)
    eta: float = Field(1.0, ge=0, le=1)
    strength: float = Field(0.6, gt=0, le=1)
    composite: Literal["original", "immunized"] = "original"
    sample_latents: bool = True

    def changed(self, **values: Any) -> EditSettings:
        """Return a copy with other values.

        Raises:
            ConfigurationError: If a name is unknown or a value out of range.

        Example:
            >>> from photoguard_eval.diffusion import EditSettings
            >>> EditSettings().changed(num_inference_steps=4).num_inference_steps
            4
        """
        try:
            return EditSettings.model_validate({**self.model_dump(), **values})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise ConfigurationError(f"{name}={first['input']!r} is no setting of an edit: {first['msg']}.") from error

    @property
    def scales(self) -> Scales:
        """How strongly the sampler is guided."""
        return Scales(self.guidance_scale, self.image_guidance_scale)

    def only(self, names: Collection[str]) -> EditSettings:
        """Return a copy in which every other setting is at its default.

        Args:
            names: Settings to keep.
        """
        return EditSettings(**{name: getattr(self, name) for name in names})

    def before_compositing(self) -> EditSettings:
        """Return a copy with the default `composite`, for what does not depend on it.

        It decides which pixels are pasted over an edit that is finished: it changes no attack, and no edit of an
        original, whose own pixels are pasted either way.
        """
        return self.only(EditSettings.model_fields.keys() - {"composite"})
