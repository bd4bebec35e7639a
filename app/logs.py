"""The log: one line a record, as text or as JSON, with the request that it belongs to."""

import json
import logging
import time
from contextvars import ContextVar
from typing import Any, Literal

import orjson

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

REQUEST: ContextVar[dict[str, str] | None] = ContextVar("request", default=None)

requests = logging.getLogger("app.requests")


def log_request(fields: dict[str, Any]) -> None:
    """Write the line of a request."""
    if not requests.isEnabledFor(logging.INFO):
        return
    # What `Logger.info` would do, without a search for the line of code that calls it.
    record = logging.LogRecord(requests.name, logging.INFO, "", 0, "request", None, None)
    record.fields = fields
    requests.handle(record)


def config(form: LogFormat, level: LogLevel) -> dict[str, Any]:
    """For `logging.config.dictConfig`: everything, the server's own lines too, in one form on stderr."""
    formatter = {"text": "app.logs.TextLines", "json": "app.logs.JsonLines"}[form]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
    }


class _Lines(logging.Formatter):
    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """What the record carries beside its message, and the ids of the request that it belongs to."""
        return getattr(record, "fields", {}) | (REQUEST.get() or {})

    def time(self, record: logging.LogRecord) -> str:
        """UTC, to the millisecond (RFC 3339)."""
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"


class JsonLines(_Lines):
    """A JSON object a line; an error's traceback is a member of it."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": self.time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        } | self.fields(record)
        if record.exc_info and record.exc_info[0]:
            document["error"] = f"{record.exc_info[0].__name__}: {record.exc_info[1]}"
            document["traceback"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(document, default=str).decode()
        except TypeError:  # text that is not Unicode, or a number beyond 64 bits
            return json.dumps(document, default=str)


class TextLines(_Lines):
    """`time level logger message key=value ...`; an error's traceback follows."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [self.time(record), record.levelname, record.name, record.getMessage()]
        parts += [f"{name}={_shown(value)}" for name, value in self.fields(record).items()]
        if record.exc_info:
            parts[-1] += "\n" + self.formatException(record.exc_info)
        return " ".join(parts)


def _shown(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text and '"' not in text else json.dumps(text)
