"""What the pages of the documentation show is what happens, in every language that they show it in."""

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ROOT
from tests.e2e.examples import agree, assert_program, assert_sessions, blocks, run
from tests.e2e.server import get
from tests.needs import need

pytestmark = pytest.mark.e2e

DOCS = ROOT / "docs"


def _with(language: str) -> list[str]:
    """The pages that have examples in it."""
    pages = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    return [page for page in pages if blocks((DOCS / page).read_text(), language)]


def test_the_comparison_can_fail() -> None:
    assert agree("[1.0012, ...] a", "[1.0013, 2.5] a")
    assert not agree("[1.0, ...]", "[1.1, 2.5]")
    assert not agree("yes", "no")


def test_the_api_is_shown_in_three_languages() -> None:
    page = (DOCS / "api.md").read_text()
    assert len(blocks(page, "console")) >= len(blocks(page, "python")) == len(blocks(page, "javascript")) >= 10


@pytest.mark.parametrize("page", _with("console"))
def test_the_commands_print_what_is_shown(page: str, service: str, tmp_path: Path) -> None:
    assert_sessions((DOCS / page).read_text(), service, tmp_path)


@pytest.mark.parametrize("page", _with("python"))
def test_the_python_prints_what_is_shown(page: str, service: str, tmp_path: Path) -> None:
    assert_program((DOCS / page).read_text(), "python", service, tmp_path)


@pytest.mark.parametrize("page", _with("javascript"))
def test_the_javascript_prints_what_is_shown(page: str, service: str, tmp_path: Path) -> None:
    need("node", "the examples in JavaScript")
    assert_program((DOCS / page).read_text(), "javascript", service, tmp_path)


def test_new_checkpoints_are_put_in_service_again_and_again(tmp_path: Path) -> None:
    (recipe,) = [block for block in blocks((DOCS / "operations.md").read_text(), "bash") if "-s HUP" in block]
    assert '"./checkpoints:/models:ro"' in (ROOT / "docker-compose.yml").read_text()
    made = tmp_path / "runs" / "mine" / "checkpoint"
    made.mkdir(parents=True)
    for number in "123":
        (made / "config.json").write_text(number)
        told = run("docker() { sleep 1; echo $@; }\n" + recipe, tmp_path)  # the names are of seconds
        assert told == "compose kill -s HUP reparam"
        assert (tmp_path / "checkpoints" / "mine" / "config.json").read_text() == number
    served = {link.name for link in (tmp_path / "checkpoints").iterdir() if link.is_symlink()}
    assert served == {"mine"}
    assert not (tmp_path / "checkpoints" / "mine").readlink().is_absolute()  # it is another folder in the container


def test_every_metric_that_is_named_is_there_and_every_one_that_is_there_is_named(service: str) -> None:
    families = set(re.findall(r"^# TYPE (reparam_\w+) ", get(f"{service}/metrics").text, re.MULTILINE))
    families = {name for name in families if not name.endswith("_created")}
    page = (DOCS / "operations.md").read_text()
    assert families == set(re.findall(r"^\| `(reparam_\w+)` \|", page, re.MULTILINE))
    (group,) = yaml.safe_load((ROOT / "deploy" / "prometheus-rules.yml").read_text())["groups"]
    for rule in group["rules"]:
        named = set(re.findall(r"\breparam_\w+", rule["expr"]))
        assert {re.sub("_(bucket|count|sum)$", "", name) for name in named} <= families, rule["alert"]
        assert named or rule["expr"].startswith("up{"), rule["alert"]


def test_the_alerts_name_labels_that_there_are(service: str) -> None:
    assert get(f"{service}/v1/sample?count=0").status_code == 422
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(get(f"{service}/metrics").text):
        for sample in family.samples:
            labels.setdefault(sample.name, {"job", "instance"}).update(sample.labels)  # the first two are Prometheus'
    (group,) = yaml.safe_load((ROOT / "deploy" / "prometheus-rules.yml").read_text())["groups"]
    for rule in group["rules"]:
        told = {"job", "instance"}
        for name, selector in re.findall(r"\b(reparam_\w+)(?:\{(.*?)\})?", rule["expr"]):
            assert set(re.findall(r"(\w+)[=!]", re.sub('".*?"', "", selector))) <= labels[name], rule["alert"]
            told |= labels[name]
        named = {name for group in re.findall(r"by \((.*?)\)", rule["expr"]) for name in group.split(", ")}
        assert named | set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= told, rule["alert"]
