"""What a command that takes long shows of how far it is."""

import pytest

from app.cli import progress_bar
from app.cli.progress_bar import ProgressBar


def test_a_log_is_told_now_and_then_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: clock[-1])
    with ProgressBar() as bar:
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


def test_on_a_terminal_nothing_is_shown_of_what_is_done_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: clock[-1])
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    with ProgressBar(after_s=2) as bar:
        clock.append(101.9)
        bar.show("decoded", 10, 40)
    assert capsys.readouterr().err == ""
    with ProgressBar(after_s=2) as bar:
        bar.show("decoded", 10, 40)
        clock.append(103.9)
        bar.show("decoded", 20, 40)
    err = capsys.readouterr().err
    assert "20/40" in err and "10/40" not in err
