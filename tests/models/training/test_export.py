"""The exported graphs answer as the network does, and crops are cut as in training."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: make test")
onnx = pytest.importorskip("onnx", reason="the export needs onnx: make test")

from furrow.core.errors import ModelError  # noqa: E402
from furrow.core.fields.segmenter import Prompts  # noqa: E402
from furrow.models.segmenters.furrow_field import field_crops  # noqa: E402
from furrow.models.segmenters.furrow_field.field_model import DECODER_FILE, ENCODER_FILE  # noqa: E402
from furrow.models.training import network as trained  # noqa: E402
from furrow.models.training.export import export, parity  # noqa: E402
from furrow.models.training.prompting import Question, origin  # noqa: E402


@pytest.fixture(scope="module")
def network() -> trained.FieldNetwork:
    """Random weights, with statistics that batch normalisation has seen."""
    torch.manual_seed(0)
    made = trained.FieldNetwork()
    with torch.no_grad():
        made.encoder(torch.randn(2, 3, 64, 64))
    return made


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    made = tmp_path_factory.mktemp("weights") / "new"
    export(network, made)
    return made


def test_the_graphs_answer_as_the_network_does(network, folder) -> None:
    assert parity(network, folder) < 0.1
    assert network.training, "the mode is left as it was"


def test_another_network_is_noticed(folder) -> None:
    torch.manual_seed(1)
    other = trained.FieldNetwork()
    with torch.no_grad():
        other.decoder.mask.bias.fill_(2.0)
    with pytest.raises(ModelError, match="differ"):
        parity(other, folder)


def test_files_are_small_and_say_what_they_are(folder) -> None:
    files = [folder / ENCODER_FILE, folder / DECODER_FILE]
    assert sum(path.stat().st_size for path in files) < 7e6
    assert sorted(folder.iterdir()) == sorted(files)
    versions = set()
    for path in files:
        model = onnx.load(path)
        said = {entry.key: entry.value for entry in model.metadata_props}
        assert model.producer_name == "furrow" and model.opset_import[0].version == 17
        assert (said["model_id"], said["licence"]) == ("furrow-field", "GPL-3.0-or-later")
        assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
        versions.add(said["version"])
    assert len(versions) == 1


def test_both_sides_agree_on_the_crop() -> None:
    assert (field_crops.LEVELS, field_crops.GRID) == (trained.LEVELS, trained.GRID)
    for x, y in np.random.default_rng(0).uniform(0, 200, (50, 2)):
        question = Question(
            np.array([[x, y]]), np.array([1]), np.zeros(4, np.float32), np.zeros((3, 8, 8), bool)
        )
        for decode in field_crops.decodes((200, 200), Prompts.click(x, y)):
            assert decode.corner == tuple(origin(question, decode.level))
