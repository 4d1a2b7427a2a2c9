"""Types of the fields of a result: what a number or a text of it may be, so that whatever was read can be used."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from photoguard_eval.files import canonical_json


def _escape_surrogates(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _require_json(values: dict[str, Any]) -> dict[str, Any]:
    try:
        canonical_json(values)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"expected values that JSON can hold ({error})") from error
    return values


def _require_moment(text: str) -> str:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no date and time; expected ISO 8601, such as 2030-01-02T03:04:05+00:00"
        ) from error
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; expected one, such as +00:00")
    return text


Text = Annotated[str, AfterValidator(_escape_surrogates)]
"""Text that a file can hold. Lone surrogates, which Python makes of a command line that is not UTF-8, are written as
escapes: what was computed must not be lost for a name."""

Moment = Annotated[str, AfterValidator(_require_moment)]
"""Date and time in ISO 8601, with a time zone."""

LARGEST = 1e12
"""More than what is measured; far below what overflows when statistics are made of it."""

Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
"""A finite number that statistics can be made of."""

Amount = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
"""A number that is not negative."""

Count = Annotated[int, Field(ge=0, le=2**63)]
"""A whole number that is not negative."""

PositiveCount = Annotated[int, Field(ge=1, le=2**63)]
"""A whole number of at least one."""

Seed = Annotated[int, Field(ge=0, lt=2**64)]
"""What a random generator takes."""

Facts = Annotated[dict[str, Any], AfterValidator(_require_json)]
"""Values that JSON can hold, by name: no NaN."""


class Frozen(BaseModel):
    """A value that a file holds: it cannot be changed, and it has no other fields than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)
