"""What is computed from results: frozen values that check their fields and can be written as JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A value that nobody changes once it is computed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
