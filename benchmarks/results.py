"""What a measurement found, beside what it should have."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Result:
    """A figure of the service over the one that it is compared with, round by round, and the target of the ratio."""

    what: str
    ours: list[float]
    other: list[float]
    unit: str
    target: float
    at_most: bool = False  # the target is a ceiling, not a floor

    @property
    def ratios(self) -> list[float]:
        return [ours / other for ours, other in zip(self.ours, self.other, strict=True)]

    @property
    def ratio(self) -> float:
        """The median, which one disturbed round does not move."""
        return median(self.ratios)

    @property
    def met(self) -> bool:
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return vars(self) | {"ratio": self.ratio, "met": self.met}


def table(results: Iterable[Result]) -> str:
    """In Markdown, a line each."""
    lines = ["| what | ours | other | ratio | lowest to highest | target | met |", "| --- |" + " ---: |" * 5 + " --- |"]
    for result in results:
        ours, other = (f"{_short(median(values))} {result.unit}".strip() for values in (result.ours, result.other))
        low, high = min(result.ratios), max(result.ratios)
        spread = f"{low:.3g} to {high:.3g}" if len(result.ratios) > 1 else ""
        target = f"{'≤' if result.at_most else '≥'} {result.target:g}"
        met = "yes" if result.met else "**no**"
        lines.append(f"| {result.what} | {ours} | {other} | {result.ratio:.3g} | {spread} | {target} | {met} |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
