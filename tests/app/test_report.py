"""What `reparam doctor` and the start print is all that is set."""

from typing import Any

import pytest

from app.engine import Engine
from app.report import address_of, as_text, describe
from app.settings import Settings
from models.files import checkpoint_folder

USUAL = {"api_keys": "a-key-of-some-caller", "rate_limit": "5/second", "rate_limit_storage": "redis://here:6379/0"}
# Of what is neither a number nor a truth value.
OTHER = {
    "host": "::1",
    "runtime": "openvino",
    "rate_limit": "6/second",
    "rate_limit_storage": "redis://elsewhere:6379/0",
    "rate_limit_on_failure": "closed",
    "cors_origins": "https://example.org",
    "trusted_proxies": "10.0.0.0/8",
    "log_format": "json",
    "log_level": "error",
    "otlp_endpoint": "http://collector:4318",
}
OF_MODELS = {"models", "default_model", "device"}
OF_KEYS = {"api_keys", "api_keys_file"}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load([checkpoint_folder(name) for name in ("mnist-mlp", "mnist-2d")], lazy=True)


def _told(engine: Engine, settings: Settings) -> tuple[dict[str, Any], str]:
    report = describe(settings, address_of(settings.host, settings.port), engine)
    return report, as_text(report)


@pytest.mark.parametrize("name", sorted(Settings.model_fields.keys() - OF_MODELS - OF_KEYS))
def test_every_setting_is_told(engine: Engine, name: str) -> None:
    usual = Settings(**USUAL)
    value = getattr(usual, name)
    other = OTHER[name] if name in OTHER else not value if isinstance(value, bool) else value + 1
    report, text = _told(engine, usual)
    changed, changed_text = _told(engine, usual.model_copy(update={name: getattr(Settings(**{name: other}), name)}))
    assert changed != report and changed_text != text


def test_what_needs_a_key_is_told_and_no_key_is(engine: Engine) -> None:
    assert _told(engine, Settings())[0]["keys"] is False
    for where in ({"api_keys": "a-key-of-some-caller"}, {"api_keys_file": "keys.txt"}):
        report, text = _told(engine, Settings(**where))
        assert report["keys"] is True and "a-key" not in text
        assert "asked for, but not by probes, the page, /docs and the schema\n" in text
    _, text = _told(engine, Settings(api_keys="a-key-of-some-caller", open_docs=False, open_metrics=True))
    assert "asked for, but not by probes, /metrics\n" in text


def test_requests_are_logged_where_their_level_is(engine: Engine) -> None:
    levels = {level: _told(engine, Settings(log_level=level))[0]["logs"]["access"] for level in ("info", "warning")}
    assert levels == {"info": True, "warning": False}
