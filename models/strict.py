"""What everything that is read from a file is checked by."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Neither text nor a bool is a number, and what a file records must fit into it.
Count = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
PositiveCount = Annotated[int, Field(strict=True, gt=0, lt=2**31)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
# What a network is made of: far beyond what images of digits need, and built in a second or two.
Width = Annotated[int, Field(strict=True, gt=0, le=2**16)]
Widths = Annotated[tuple[Width, ...], Field(max_length=32)]
Depth = Annotated[int, Field(strict=True, ge=0, le=128)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """Unknown keys are mistakes, and what was read is not changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
