"""A machine that lacks what tests need skips them, and says so; in continuous integration nothing is skipped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import browser
from tests.needs import need


def _a_browser() -> None:
    with browser.chromium():
        raise AssertionError("expected no browser")


def _axe() -> None:
    browser.assert_accessible(None)  # type: ignore[arg-type]


WITHOUT: dict[str, Callable[[], Any]] = {
    r"chromium is not installed \(apt-get install chromium\)": _a_browser,
    r"axe-core is not installed \(make axe, which needs npm\)": _axe,
    r"node is not installed \(apt-get install nodejs\)": lambda: need("node", "scripts"),
    r"redis-server is not installed \(apt-get install redis-server\)": lambda: need("redis-server", "limits"),
}


@pytest.mark.parametrize("told", WITHOUT)
def test_what_is_missing_skips_and_fails_in_continuous_integration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(browser, "AXE", tmp_path / "axe.min.js")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=rf"{told}: NOT tested: \w+"):
        WITHOUT[told]()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=rf"{told}: NOT tested: \w+"):
        WITHOUT[told]()


def test_what_is_there_is_found() -> None:
    assert Path(need("sh", "nothing")).is_file()
