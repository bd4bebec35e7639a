"""What everything that is read from a file is checked by."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """Unknown keys are mistakes, and what was read is not changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
