"""What the store keeps beside an image, or in its place: checked when it is read, since files can be damaged.

A record of another shape is one that was damaged, so that what it described is computed again.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from photoguard_eval.results.rows import Cost

Number = Annotated[float, Field(allow_inf_nan=False)]
Levels = Annotated[float, Field(ge=0, le=255, allow_inf_nan=False)]


class Facts(BaseModel):
    """What is known of an artifact."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EditFacts(Facts):
    """What is known of an edit: nothing but the image."""


class PurifiedFacts(Facts):
    """What is known of a purified image: nothing but the image."""


class ImmunizedFacts(Facts):
    """What is known of an immunized image.

    Attributes:
        linf_levels: The largest change of a channel value, of 255.
        rms_levels: The root mean square change over all channel values, of 255.
        cost: What it cost.
    """

    linf_levels: Levels
    rms_levels: Levels
    cost: Cost


class CaseScores(Facts):
    """A metric's values.

    Attributes:
        values: One for each case of a row.
    """

    values: list[Number]


class SetScore(Facts):
    """The value of a metric that compares sets.

    Attributes:
        value: The value.
    """

    value: Number
