import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from models.checkpoint import load_checkpoint
from models.errors import CheckpointError
from models.strict import explain
from tests.models.tiny import save_tiny


def message(tmp_path: Path, text: str | bytes) -> str:
    """What loading a checkpoint with this config.json says, less the file's name."""
    folder = tmp_path / "tiny"
    path = folder / "config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    save_tiny(tmp_path / "tiny")
    return json.loads((tmp_path / "tiny" / "config.json").read_text())  # type: ignore[no-any-return]


def test_the_file_says_what_rebuilds_the_model(document: dict[str, Any]) -> None:
    assert document["format_version"] == 1
    assert document["model"] == {
        "kind": "vae",
        "input_shape": [1, 28, 28],
        "architecture": {"encoder": [16], "latents": 4, "decoder": [12]},
        "likelihood": {"kind": "bernoulli"},
        "prior": {"kind": "standard-normal"},
    }
    assert document["preprocessing"] == {"kind": "digit", "box": 20}


@pytest.mark.usefixtures("document")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not JSON: "),
        ("{'name': 1}", "not JSON: "),
        (b"\xff\xfe", "not JSON: "),
        ("[" * 5000, "not JSON: "),
        ('{"format_version": NaN}', "not JSON: "),
        ("[]", "expected a JSON object, found list"),
        ("null", "expected a JSON object, found NoneType"),
        ("{}", "format_version: expected 1, found None"),
        ('{"format_version": 2}', "format_version: expected 1, found 2"),
        ('{"format_version": "1"}', "format_version: expected 1, found '1'"),
        ('{"format_version": 1}', "name: field required; model: field required; weights: field required"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert message(tmp_path, text).startswith(expected)


@pytest.mark.parametrize(
    ("keys", "changes", "expected"),
    [
        ((), {"colour": 1}, "colour: extra inputs are not permitted"),
        ((), {"two\nlines": 1}, "two lines: extra inputs are not permitted"),
        ((), {"name": "../up"}, "name: string should match pattern"),
        ((), {"name": 7}, "name: input should be a valid string, found 7"),
        (("model",), {"kind": "gan"}, "kind: expected one of ae, dae, linear, vae, found 'gan'"),
        (("model",), {"input_shape": [1, 28]}, "model.input_shape.2: field required"),
        (("model",), {"input_shape": [1, -28, 28]}, "model.input_shape.1: input should be greater than 0, found -28"),
        (
            ("model",),
            {"input_shape": [True, 28, 28]},
            "model.input_shape.0: input should be a valid integer, found True",
        ),
        (
            ("model",),
            {"input_shape": [1, "28", 28]},
            "model.input_shape.1: input should be a valid integer, found '28'",
        ),
        (
            ("model",),
            {"likelihood": {"kind": "gaussian", "sigma": True}},
            "model.likelihood.sigma: input should be a valid number, found True",
        ),
        (("preprocessing",), {"box": "20"}, "preprocessing.box: input should be a valid integer, found '20'"),
        (
            (),
            {"novelty": {"images": 9, "draws": 8, "quantiles": [False, "2"]}},
            "novelty.quantiles.0: input should be a valid number, found False; novelty.quantiles.1: input should be a",
        ),
        (("model",), {"prior": "uniform"}, "model.prior: expected the kind standard-normal or flow, found 'uniform'"),
        (
            ("model",),
            {"prior": {"kind": "uniform"}},
            "model.prior: expected the kind standard-normal or flow, found {'kind': 'uniform'}",
        ),
        (("model",), {"prior": {"kind": "flow"}}, "model.prior.couplings: field required"),
        (("model",), {"likelihood": {"kind": "poisson"}}, "model.likelihood: input tag 'poisson' found"),
        (("model", "architecture"), {"heads": 8}, "architecture of kind 'vae': heads: extra inputs are not permitted"),
        (
            ("model", "architecture"),
            {"latents": -4},
            "architecture of kind 'vae': latents: input should be greater than 0, found -4",
        ),
        (
            ("model", "architecture"),
            {"encoder": [0]},
            "architecture of kind 'vae': encoder.0: input should be greater than 0, found 0",
        ),
        (
            ("model", "architecture"),
            {"decoder": None},
            "architecture of kind 'vae': decoder: expected a list of widths, or a table of channels and blocks, found",
        ),
        (
            ("model", "architecture"),
            {"encoder": {"channels": [8, 8], "blocks": [1]}},
            "architecture of kind 'vae': encoder: expected as many blocks as channels, a number for each "
            "stage, found 1 blocks and 2 channels",
        ),
        (
            ("model", "architecture"),
            {"encoder": {"channels": [8, 8, 8], "blocks": [1, 1, 1]}},
            "kind 'vae': encoder: a residual network of 3 stages expects sides that 8 divides, found 28x28",
        ),
        (
            ("model", "architecture"),
            {"encoder": [2**31 - 1] * 2},
            "architecture of kind 'vae': encoder.0: input should be less than or equal to 65536, found 2147483647; ",
        ),
        (
            ("model", "architecture"),
            {"latents": 10**9},
            "architecture of kind 'vae': latents: input should be less than or equal to 65536, found 1000000000",
        ),
        (
            ("model", "architecture"),
            {"encoder": [1] * 10**5},
            "architecture of kind 'vae': encoder: tuple should have at most 32 items after validation",
        ),
        (
            ("model", "architecture"),
            {"encoder": {"channels": [8], "blocks": [10**9]}},
            "architecture of kind 'vae': encoder.blocks.0: input should be less than or equal to 128, found 1000000000",
        ),
        (
            ("model",),
            {"prior": {"kind": "flow", "couplings": 3 * 10**6, "hidden": []}},
            "model.prior.couplings: input should be less than or equal to 128, found 3000000",
        ),
        (
            (),
            {"novelty": {"images": 9, "draws": 10**9, "quantiles": [1.0, 2.0]}},
            "novelty.draws: input should be less than or equal to 1000, found 1000000000",
        ),
        (("weights",), {"file": "../weights"}, "weights.file: input should be 'model.safetensors'"),
        (("weights",), {"sha256": "abc"}, "weights.sha256: string should match pattern"),
        (("preprocessing",), {"box": 0}, "preprocessing.box: input should be greater than 0, found 0"),
        (("preprocessing",), {"box": 29}, "preprocessing: expected one channel and a square of at least 29 pixels"),
        ((), {"novelty": {"images": 9, "draws": 8, "quantiles": [2.0, 1.0]}}, "novelty: expected ascending quantiles"),
    ],
)
def test_a_value_that_cannot_be_is_named(
    tmp_path: Path, document: dict[str, Any], keys: tuple[str, ...], changes: dict[str, Any], expected: str
) -> None:
    part = document
    for key in keys:
        part = part[key]
    part.update(changes)
    assert message(tmp_path, json.dumps(document)).startswith(expected)


@given(st.text(), st.recursive(st.none() | st.text() | st.floats(), lambda s: st.lists(s)))
def test_an_error_is_one_line_whatever_was_found(key: str, value: object) -> None:
    class Nothing(BaseModel):
        model_config = ConfigDict(extra="forbid")
        number: int = 0

    for document in ({key: value}, {"number": value}, value):
        try:
            Nothing.model_validate(document)
        except ValidationError as error:
            assert len(str(CheckpointError(explain(error))).splitlines()) == 1
