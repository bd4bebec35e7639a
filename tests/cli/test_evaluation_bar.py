"""What an evaluation shows of how far it is."""

import pytest

from app.cli import evaluation_bar
from app.cli.evaluation_bar import EvaluationBar


def test_a_log_is_told_now_and_then_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr(evaluation_bar.time, "monotonic", lambda: clock[-1])
    with EvaluationBar() as bar:
        for now, what, done in [
            (101, "ELBO", 0),
            (159, "ELBO", 10_000),
            (160, "NLL", 12),
            (219, "NLL", 24),
            (225, "NLL", 1200),
        ]:
            clock.append(now)
            bar.show(what, done, 10_000)
    assert capsys.readouterr().err.splitlines() == ["NLL 12/10,000", "NLL 1,200/10,000"]
