from models.checkpoint import load_checkpoint
from models.files import ZOO
from scripts.comparison import COLUMNS, comparison
from tests.conftest import ROOT


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "comparison.md").read_text()
    assert page == comparison(), "run: python -m scripts.comparison > docs/comparison.md"


def test_every_shipped_model_has_its_row_and_its_own_figures() -> None:
    rows = [line.strip("| ").split(" | ") for line in comparison().splitlines() if line.startswith("| [")]
    cells = {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in rows}
    folders = sorted(path.parent for path in ZOO.glob("*/config.json"))
    assert len(cells) == len(folders) > 0
    for folder in folders:
        checkpoint = load_checkpoint(folder)
        row = cells[f"[{folder.name}](../models/zoo/{folder.name}/README.md)"]
        assert row["parameters"] == f"{sum(tensor.numel() for tensor in checkpoint.model.state_dict().values()):,}"
        assert row["latents"] == str(checkpoint.model.latents)
        assert (row["NLL"] == "-") is (not checkpoint.model.generative)
