import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from models.data import SHA256, FetchEvent, fetch_mnist, load_mnist
from models.data.download import ATTEMPTS, MAX_BYTES
from models.errors import DataError
from tests.models.data.fetching import GZ, NAME, assert_fetched, fails
from tests.models.data.mirror import Mirror


def test_fetches_four_files_that_load(tmp_path: Path, mirror: Mirror, sha256: dict[str, str]) -> None:
    events: list[FetchEvent] = []
    paths = fetch_mnist(tmp_path / "new" / "mnist", [mirror.url], events.append, sha256=sha256)
    assert [path.name for path in paths] == [f"{name}.gz" for name in SHA256]
    assert load_mnist(tmp_path / "new" / "mnist", "test").labels[:3].tolist() == [7, 2, 1]
    assert len(list(paths[0].parent.iterdir())) == 4
    for path in paths:
        sizes = [event.done_bytes for event in events if (event.file, event.kind) == (path.name, "bytes")]
        assert sizes == sorted(sizes)
        assert (sizes[0], sizes[-1]) == (0, path.stat().st_size)
    assert [event.file for event in events if event.kind == "fetched"] == [path.name for path in paths]


def test_files_that_are_there_and_right_are_left_alone(
    tmp_path: Path, mirror: Mirror, files: dict[str, bytes], sha256: dict[str, str]
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    plain = (tmp_path / GZ).rename(tmp_path / NAME)
    plain.write_bytes(gzip.decompress(files[GZ]))
    events: list[FetchEvent] = []
    assert plain in fetch_mnist(tmp_path, [mirror.url], events.append, sha256=sha256)
    assert [event.kind for event in events] == ["kept"] * 4
    assert mirror.requests == []


@pytest.mark.parametrize("name", [NAME, GZ])
@pytest.mark.parametrize("content", [b"", b"not a digit", gzip.compress(b"not a digit", mtime=0)])
def test_a_file_that_is_another_is_never_replaced(
    tmp_path: Path, mirror: Mirror, sha256: dict[str, str], name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    assert f"{name}: " in (told := fails(tmp_path, [mirror.url], sha256)) and "move such files away" in told
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, content)]
    assert mirror.requests == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("404", "HTTP 404 Not Found"),
        ("500", "HTTP 500"),
        ("416", "HTTP 416"),
        ("206", "Content-Range ''"),
        ("wrong", "wrong bytes"),
        ("stall", "no answer in time (ReadTimeout)"),
        ("endless", f"at most {MAX_BYTES:,} bytes, found more"),
        ("cut", f"cut {ATTEMPTS} times"),
        ("reset", f"cut {ATTEMPTS} times"),
        ("silent", f"cut {ATTEMPTS} times"),
        ("short", "wrong bytes"),
        ("redirect", "redirects"),
    ],
)
def test_a_mirror_that_fails_is_followed_by_the_next(
    tmp_path: Path,
    mirror: Mirror,
    second: Mirror,
    files: dict[str, bytes],
    one: dict[str, str],
    fault: str,
    said: str,
) -> None:
    mirror.always = fault
    events: list[FetchEvent] = []
    fetch_mnist(tmp_path, [mirror.url, second.url], events.append, sha256=one, timeout_s=2.0)
    assert_fetched(tmp_path, files)
    failed = [event.detail for event in events if event.kind == "failed"]
    assert len(failed) == 1
    assert failed[0].startswith(mirror.url)
    assert said in failed[0]


def test_the_mirror_that_worked_is_asked_first_for_the_next_file(
    tmp_path: Path, mirror: Mirror, second: Mirror, sha256: dict[str, str]
) -> None:
    mirror.always = "500"
    fetch_mnist(tmp_path, [mirror.url, second.url], sha256=sha256)
    assert (len(mirror.requests), len(second.requests)) == (1, 4)


def test_when_all_mirrors_fail_each_is_listed(
    tmp_path: Path, mirror: Mirror, second: Mirror, one: dict[str, str]
) -> None:
    mirror.always, second.always = "404", "wrong"
    nobody = "http://127.0.0.1:1/mnist"
    message = fails(tmp_path, [mirror.url, second.url, nobody, "no url", "http://a..b/"], one)
    assert message.startswith(str(tmp_path / GZ))
    for part in (
        f"{mirror.url}: HTTP 404",
        f"{second.url}: wrong bytes",
        f"{nobody}: ",
        "no url: ",
        "http://a..b/: ",
    ):
        assert part in message
    assert list(tmp_path.iterdir()) == []  # wrong bytes are not kept for the next run


def test_without_a_mirror_there_is_an_error(tmp_path: Path, one: dict[str, str]) -> None:
    assert "no mirror was named" in fails(tmp_path, [], one)


def test_a_file_that_says_it_is_huge_is_not_read(tmp_path: Path, mirror: Mirror, one: dict[str, str]) -> None:
    mirror.files[GZ] = bytes(MAX_BYTES + 1)
    assert f"expected at most {MAX_BYTES:,} bytes, found {MAX_BYTES + 1:,}" in fails(tmp_path, [mirror.url], one)


def test_a_gzip_bomb_is_not_unpacked_to_its_end(tmp_path: Path, mirror: Mirror, one: dict[str, str]) -> None:
    mirror.files[GZ] = gzip.compress(bytes(65 << 20), compresslevel=1)
    assert "bytes of content, found more" in fails(tmp_path, [mirror.url], one)
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_written_are_errors(tmp_path: Path, mirror: Mirror, one: dict[str, str]) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    for folder in (file, file / "below"):
        message = fails(folder, [mirror.url], one)
        assert message.startswith(str(file))
        assert "cannot be" in message
    taken = tmp_path / f"{GZ}.part"
    taken.mkdir()
    assert fails(tmp_path, [mirror.url], one).startswith(str(taken))
    taken.rmdir()
    (tmp_path / GZ).mkdir()
    assert f"{tmp_path / GZ}: cannot be written" in fails(tmp_path, [mirror.url], one)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error(tmp_path: Path, mirror: Mirror, one: dict[str, str]) -> None:
    (tmp_path / f"{GZ}.part").symlink_to("/dev/full")
    message = fails(tmp_path, [mirror.url], one)
    assert str(tmp_path) in message
    assert "No space left on device" in message


def test_a_proxy_that_makes_no_sense_is_an_error(
    tmp_path: Path, one: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://127.0.0.1")
    with pytest.raises(DataError, match="proxy"):
        fetch_mnist(tmp_path, ["http://127.0.0.1:1/"], sha256=one, proxies_from_environment=True)


def test_the_environment_is_not_asked_for_a_proxy_by_itself(
    tmp_path: Path,
    mirror: Mirror,
    files: dict[str, bytes],
    one: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    fetch_mnist(tmp_path, [mirror.url], sha256=one)
    assert_fetched(tmp_path, files)


def test_reading_data_does_not_need_the_downloaders_dependency() -> None:
    program = "import sys, models.data; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
