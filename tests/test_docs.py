"""The documentation says what is so, and its links lead somewhere."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fastapi.routing import APIRoute
from PIL import Image

from app.errors import PROBLEMS
from app.observation import UNKNOWN
from app.routes import health, metrics, v2
from models.recipe import DataRecipe, Elbo, Iwae, OptimizationRecipe, Recipe
from scripts import draw_why_variational
from tests.conftest import ROOT
from tests.e2e.examples import blocks

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("models/zoo/*/README.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for link, _, anchor in re.findall(r"\]\(([^)#\s]*)(#([^)\s]+))?\)", page.read_text()):
        if not link.startswith(("http://", "https://")):
            target = page.parent / link if link else page
            assert target.exists(), f"{page}: {link}"
            assert not anchor or anchor in _anchors(target), f"{page}: {link}#{anchor}"


@pytest.mark.parametrize("page", ["api.md", "open-inference-protocol.md"])
def test_what_the_service_does_without_is_installed_before_python_needs_it(page: str) -> None:
    text = (DOCS / page).read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    served = {re.split(r"\W", need.replace("-", "_"))[0] for need in project["dependencies"]}
    modules = set(re.findall(r"^(?:import|from) (\w+)", "".join(blocks(text, "python")), re.MULTILINE))
    packages = {packages_distributions()[name][0] for name in modules - sys.stdlib_module_names}
    for package in packages - served:
        assert re.search(rf"`\.venv/bin/pip install [^`]*\b{package}\b", text), package


def _anchors(page: Path) -> set[str]:
    """What the page's headings are called in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_decision_is_in_the_index() -> None:
    index = (DOCS / "decisions" / "README.md").read_text()
    for page in sorted((DOCS / "decisions").glob("0*.md")):
        title = page.read_text().splitlines()[0]
        assert re.search(rf"\| \[{page.name[:4]}\]\({page.name}\) \| .+ \|", index), page.name
        assert title.startswith(f"# {int(page.name[:4])}. "), page.name


def test_every_problem_is_described() -> None:
    text = (DOCS / "api.md").read_text()
    for status, name, _ in PROBLEMS.values():
        assert re.search(rf"^\| `{name}` \| {status} \| .+ \|$", text, re.MULTILINE), name


def test_every_view_of_the_playground_is_shown() -> None:
    text = (DOCS / "playground.md").read_text()
    views = sorted((ROOT / "app" / "web" / "views").glob("*.js"))
    assert len(views) >= 6
    for view in views:
        (title,) = re.findall(r'^export const title = "(.+)";$', view.read_text(), re.MULTILINE)
        section = re.search(rf"^## {title}\n(.+?)^## ", text, re.MULTILINE | re.DOTALL)
        assert section and f"](images/playground-{view.stem}.png)" in section[1], title


def test_every_key_of_a_recipe_is_described() -> None:
    text = (DOCS / "training.md").read_text()
    for section, kind in {"": Recipe, "data.": DataRecipe, "training.": OptimizationRecipe}.items():
        for key in kind.model_fields.keys() - {"model", "data", "objective", "training"}:
            assert re.search(rf"^\| .*`({section}|\.){key}`", text, re.MULTILINE), section + key
    for key in Elbo.model_fields.keys() | Iwae.model_fields.keys():
        assert re.search(rf"^\| `objective\.kind` .*`{key}`|^\| `objective\.{key}`", text, re.MULTILINE), key


@pytest.fixture(scope="module")
def alerts() -> dict[str, dict[str, Any]]:
    """The rules for Prometheus, by the alert's name."""
    (group,) = yaml.safe_load((ROOT / "deploy" / "prometheus-rules.yml").read_text())["groups"]
    rules = {rule["alert"]: rule for rule in group["rules"]}
    assert len(rules) == len(group["rules"]) >= 5
    return rules


def test_the_alerts_are_rules_of_problems_that_there_are(alerts: dict[str, dict[str, Any]]) -> None:
    types = {name for rule in alerts.values() for name in re.findall(r'type="([^"]+)"', rule["expr"])}
    assert types and types <= {name for _, name, _ in PROBLEMS.values()}
    for rule in alerts.values():
        assert rule["annotations"]["summary"]


def test_the_share_of_failures_is_of_calls_and_not_of_probes_or_pages(alerts: dict[str, dict[str, Any]]) -> None:
    routers = (health.router, metrics.router, v2.probes)
    probes = {route.operation_id for router in routers for route in router.routes if isinstance(route, APIRoute)}
    left_out = re.findall(r'operation!~"(.+?)"', alerts["ReparamFails"]["expr"])
    assert len(left_out) == 2 and all(set(names.split("|")) == probes | {UNKNOWN} for names in left_out)


def test_what_a_worker_tells_of_itself_is_looked_at_over_time(alerts: dict[str, dict[str, Any]]) -> None:
    """Another one answers the next scrape, and what it tells replaces what the first one told."""
    asking = [rule["expr"] for rule in alerts.values() if "reparam_model_info" in rule["expr"]]
    assert asking and all(re.search(r"_over_time\(reparam_model_info\[\d+m\]\)", expr) for expr in asking)


def test_what_is_counted_is_a_whole_number_where_it_is_compared_with_one(alerts: dict[str, dict[str, Any]]) -> None:
    """Prometheus extrapolates: of two within a quarter of an hour it makes 2.02, which is more than 2."""
    for name, rule in alerts.items():
        if "increase(" in rule["expr"] and not rule["expr"].endswith("> 0"):
            assert re.fullmatch(r"round\(.+\) > \d+", rule["expr"]), name


def test_the_pictures_are_what_the_shipped_models_draw(
    mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draw_why_variational, "PICTURES", tmp_path)
    monkeypatch.setattr(draw_why_variational, "SAMPLES", 100)
    monkeypatch.setattr(sys, "argv", ["draw_why_variational", "--data", str(mnist)])
    draw_why_variational.main()
    shown = set(re.findall(r"\]\(pictures/(.+?)\)", (DOCS / "why-variational.md").read_text()))
    assert shown == {path.name for path in (DOCS / "pictures").iterdir()} == {path.name for path in tmp_path.iterdir()}
    for name in shown - {"codes.png"}:  # of all test digits, of which there is a tenth here
        here, there = (np.asarray(Image.open(folder / name), np.int16) for folder in (tmp_path, DOCS / "pictures"))
        assert abs(here - there).mean() < 1, f"{name}: run: python -m scripts.draw_why_variational"
