"""What the downloader does with pieces, seen from the fetch that puts them together."""

import gzip
from pathlib import Path

import pytest

from models.data import FetchEvent, fetch_mnist
from tests.models.data.fetching import GZ, assert_fetched, fails
from tests.models.data.mirror import Mirror


def test_a_cut_connection_is_resumed_where_it_was_cut(
    tmp_path: Path, mirror: Mirror, files: dict[str, bytes], one: dict[str, str]
) -> None:
    mirror.faults = ["cut"]
    fetch_mnist(tmp_path, [mirror.url], sha256=one)
    assert_fetched(tmp_path, files)
    whole, rest = mirror.requests
    half = len(files[GZ]) // 2
    assert (whole.range, whole.status) == (None, 200)
    assert (rest.range, rest.status, rest.body_bytes) == (f"bytes={half}-", 206, len(files[GZ]) - half)


def test_a_reset_connection_is_resumed(
    tmp_path: Path, mirror: Mirror, files: dict[str, bytes], one: dict[str, str]
) -> None:
    """Where is for the kernel to say: a reset takes with it what the client had not read yet."""
    mirror.faults = ["reset", "reset"]
    fetch_mnist(tmp_path, [mirror.url], sha256=one)
    assert_fetched(tmp_path, files)
    assert len(mirror.requests) == 3


def test_a_server_that_ignores_range_starts_over(
    tmp_path: Path, mirror: Mirror, files: dict[str, bytes], one: dict[str, str]
) -> None:
    mirror.ranges, mirror.faults = False, ["cut", "cut"]
    fetch_mnist(tmp_path, [mirror.url], sha256=one)
    assert_fetched(tmp_path, files)
    assert [request.status for request in mirror.requests] == [200, 200, 200]
    assert mirror.requests[1].range is not None


def test_a_range_that_stops_early_is_asked_for_again(
    tmp_path: Path, mirror: Mirror, files: dict[str, bytes], one: dict[str, str]
) -> None:
    mirror.faults = ["cut", "short"]
    fetch_mnist(tmp_path, [mirror.url], sha256=one)
    assert_fetched(tmp_path, files)
    assert [request.status for request in mirror.requests] == [200, 206, 206]


def test_another_range_than_the_one_asked_for_is_refused(tmp_path: Path, mirror: Mirror, one: dict[str, str]) -> None:
    mirror.faults = ["cut", "hole"]
    assert "expected the bytes from" in fails(tmp_path, [mirror.url], one)


@pytest.mark.parametrize("etags", [True, False])
def test_a_file_that_changed_between_two_pieces_is_not_glued(
    tmp_path: Path, mirror: Mirror, files: dict[str, bytes], one: dict[str, str], etags: bool
) -> None:
    """With an ETag the server sends the whole new file; without, the hash finds the mixture, and it goes."""
    new = gzip.compress(gzip.decompress(files[GZ]), compresslevel=1, mtime=0)
    mirror.etags, mirror.faults = etags, ["cut"]

    def change(event: FetchEvent) -> None:
        if event.kind == "bytes" and event.done_bytes:
            mirror.files[GZ] = new

    fetch_mnist(tmp_path, [mirror.url], change, sha256=one)
    assert (tmp_path / GZ).read_bytes() == new
    statuses = [(request.status, request.range is not None) for request in mirror.requests]
    if etags:
        assert mirror.requests[1].if_range is not None
        assert statuses == [(200, False), (200, True)]
    else:
        assert statuses == [(200, False), (206, True), (200, False)]


def test_a_file_sent_as_a_gzip_transfer_is_kept_as_it_is(
    tmp_path: Path, mirror: Mirror, files: dict[str, bytes], one: dict[str, str]
) -> None:
    mirror.always = "encoded"
    fetch_mnist(tmp_path, [mirror.url], sha256=one)
    assert_fetched(tmp_path, files)


def test_an_interrupted_fetch_is_resumed_by_the_next(
    tmp_path: Path, mirror: Mirror, second: Mirror, files: dict[str, bytes], one: dict[str, str]
) -> None:
    def interrupt(event: FetchEvent) -> None:
        if event.kind == "bytes" and event.done_bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_mnist(tmp_path, [mirror.url], interrupt, sha256=one)
    assert [path.name for path in tmp_path.iterdir()] == [f"{GZ}.part"]
    there = (tmp_path / f"{GZ}.part").stat().st_size
    assert 0 < there < len(files[GZ])

    events: list[FetchEvent] = []
    fetch_mnist(tmp_path, [second.url], events.append, sha256=one)  # another mirror than the one it is from
    assert_fetched(tmp_path, files)
    assert [tuple(request) for request in second.requests] == [
        (GZ, f"bytes={there}-", None, 206, len(files[GZ]) - there)
    ]
    assert next(event for event in events if event.kind == "bytes").done_bytes == there


def test_a_part_of_something_else_is_thrown_away(
    tmp_path: Path, mirror: Mirror, files: dict[str, bytes], one: dict[str, str]
) -> None:
    (tmp_path / f"{GZ}.part").write_bytes(b"something else")
    fetch_mnist(tmp_path, [mirror.url], sha256=one)
    assert_fetched(tmp_path, files)
    assert [request.range for request in mirror.requests] == ["bytes=14-", None]


def test_a_part_longer_than_the_file_is_thrown_away(
    tmp_path: Path, mirror: Mirror, files: dict[str, bytes], one: dict[str, str]
) -> None:
    (tmp_path / f"{GZ}.part").write_bytes(files[GZ] + b"more")
    fetch_mnist(tmp_path, [mirror.url], sha256=one)
    assert_fetched(tmp_path, files)
    assert [request.status for request in mirror.requests] == [416, 200]


def test_a_part_that_is_whole_needs_only_its_name(
    tmp_path: Path, mirror: Mirror, files: dict[str, bytes], one: dict[str, str]
) -> None:
    (tmp_path / f"{GZ}.part").write_bytes(files[GZ])
    fetch_mnist(tmp_path, [mirror.url], sha256=one)
    assert_fetched(tmp_path, files)
    assert mirror.requests == []


def test_what_one_mirror_gave_is_gone_on_from_at_the_next(
    tmp_path: Path, mirror: Mirror, second: Mirror, files: dict[str, bytes], one: dict[str, str]
) -> None:
    mirror.faults, mirror.always = ["cut"], "500"
    fetch_mnist(tmp_path, [mirror.url, second.url], sha256=one)
    assert_fetched(tmp_path, files)
    assert [request.range for request in second.requests] == [f"bytes={len(files[GZ]) // 2}-"]
