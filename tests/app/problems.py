"""What every failed call must look like."""

from typing import Any

from httpx import Response


def assert_problem(answer: Response, status: int, name: str) -> dict[str, Any]:
    """The answer is a problem (RFC 9457) of that kind; its document."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    document: dict[str, Any] = answer.json()
    assert document.keys() == {"type", "title", "status", "detail", "request_id"}
    assert document["status"] == status
    assert document["type"] == f"urn:reparam:problem:{name}"
    assert document["request_id"] == answer.headers["x-request-id"]
    assert "\n" not in document["detail"] and document["detail"]
    return document
