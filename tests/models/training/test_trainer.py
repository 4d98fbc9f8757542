# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""Training learns, survives a kill, and goes on as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: make test")

from furrow.models.training.batches import BatchStream, Sources, inside_cells, make_batch
from furrow.models.training.losses import by_question, losses, true_overlaps
from furrow.models.training.network import GRID, LEVELS, Answers, Clicks, FieldNetwork, crop
from furrow.models.training.scene_pool import ScenePool
from furrow.models.training.trainer import Schedule, Trainer, load_weights, save_weights


@pytest.fixture(scope="module")
def sources() -> Sources:
    """Chequered scenes: fields of 24 pixels in a few colours."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:256, 0:256]
    labels = (1 + (rows // 24) * 11 + columns // 24).astype(np.int16)
    images = [rng.integers(30, 220, (200, 3), np.uint8)[labels] for _ in range(3)]
    stacked = np.stack(images)
    return Sources((ScenePool(stacked, np.repeat(labels[None], 3, 0)),), (), np.zeros(0), 0.0)


def test_batches_depend_on_their_number_only(sources: Sources) -> None:
    direct = make_batch(sources, (7, 3))
    stream = iter(BatchStream(sources, (7,), 2))
    next(stream)
    for one, two in zip(direct, next(stream)):
        assert torch.equal(one, two)


def test_each_prompt_is_decoded_once_or_twice_in_order_of_level(sources: Sources) -> None:
    batch = make_batch(sources, (0, 0))
    assert (batch.level.diff() >= 0).all()
    counts = torch.bincount(batch.question)
    assert set(counts.tolist()) == {1, 2}


def test_answers_to_one_prompt_come_together() -> None:
    question = torch.tensor([2, 0, 1, 0, 2])
    values = torch.arange(15.0).view(5, 3)
    rows = by_question(values, question, -9)
    assert rows.tolist() == [[3, 4, 5, 9, 10, 11], [6, 7, 8, -9, -9, -9], [0, 1, 2, 12, 13, 14]]


def test_crops_are_windows_of_the_features() -> None:
    features = {}
    for stride in LEVELS:
        side = 128 // stride
        features[f"context{stride}"] = torch.rand(2, 48, side, side)
        features[f"detail{stride}"] = torch.rand(2, 16, 2 * side, 2 * side)
    origin = torch.tensor([[5, 9], [-4, 40]])
    crops = crop(features, torch.tensor([1, 0]), torch.tensor([0, 0]), origin)
    expected = features["context2"][1][:, 9 : 9 + GRID, 5 : 5 + GRID]
    assert torch.equal(crops.context[0], expected)
    assert torch.equal(crops.detail[0], features["detail2"][1][:, 18:82, 10:74])
    assert crops.inside[1, 0].sum() == (GRID - 4) * (64 - 40)
    assert crops.context[1][:, :4].sum() > 0
    assert crops.context[1][:, :, :4].sum() == 0


def test_inside_cells_agree_with_the_crops(sources: Sources) -> None:
    batch = make_batch(sources, (0, 1))
    features = {f"context{s}": torch.ones(1, 1, *[batch.images.shape[-1] // s] * 2) for s in LEVELS}
    features.update({f"detail{s}": torch.ones(1, 1, *[batch.images.shape[-1] // s * 2] * 2)
                     for s in LEVELS})  # fmt: skip
    crops = crop(features, torch.zeros_like(batch.picture), batch.level, batch.origin)
    inside = inside_cells(batch.images.shape[-1], batch.level, batch.origin)
    assert torch.equal(inside, crops.detail)


def test_perfect_answers_have_overlap_one_and_the_least_loss(sources: Sources) -> None:
    batch = make_batch(sources, (0, 2))
    inside = inside_cells(batch.images.shape[-1], batch.level, batch.origin)
    logits = (batch.truths - 0.5) * 40
    overlaps = true_overlaps(logits, batch, inside)
    fits = batch.outside[:, 1] == 0
    fine = fits & (batch.level == 0)
    assert (overlaps[fine] > 0.999).all()
    boundary = (batch.edges[:, None] - 0.5) * 40
    traits = torch.zeros(0)
    good = losses(batch, Answers(logits, torch.logit(overlaps.clamp(0.01, 0.99)), traits), boundary)
    bad = losses(batch, Answers(-logits, torch.zeros_like(overlaps), traits), -boundary)
    assert good.masks < 0.5 * bad.masks
    assert good.scores < bad.scores
    assert good.ranking < 0.1
    assert good.edges < 0.01 * bad.edges


def test_a_killed_run_goes_on_exactly(tmp_path: Path, sources: Sources) -> None:
    schedule = Schedule(steps=6, warm=1)
    batches = [make_batch(sources, (0, k)) for k in (0, 1, 2)]

    def state(trainer: Trainer) -> torch.Tensor:
        return torch.cat([v.flatten().float() for v in trainer.network.state_dict().values()])

    whole = Trainer(tmp_path / "a", schedule)
    for batch in batches:
        whole.learn(batch)
    first = Trainer(tmp_path / "b", schedule)
    first.learn(batches[0])
    first.learn(batches[1])
    first.keep()
    (tmp_path / "b" / "checkpoint_0.new").write_bytes(b"half written when it was killed")
    second = Trainer(tmp_path / "b", schedule)
    assert second.resume()
    assert second.step == 2
    second.learn(batches[2])
    assert torch.allclose(state(whole), state(second), atol=1e-5)


def test_members_of_a_run_move_towards_each_other(tmp_path: Path, sources: Sources) -> None:
    schedule = Schedule(steps=100, warm=1)
    one, two = (Trainer(tmp_path, schedule, member=k) for k in (0, 1))
    for parameter in one.network.parameters():
        parameter.data.fill_(1.0)
    for parameter in two.network.parameters():
        parameter.data.fill_(3.0)
    one.step = 40
    assert one.meet() == 0
    assert two.meet() == 1
    assert two.step == 40
    assert two.meet() == 0, "the same weights do not count twice"
    assert one.meet() == 1
    means = [next(trainer.network.parameters()).mean().item() for trainer in (one, two)]
    assert means == pytest.approx([1.5, 2.0])


def test_a_new_member_begins_as_the_first_one_is(tmp_path: Path) -> None:
    first = Trainer(tmp_path, Schedule(10))
    next(first.network.parameters()).data.fill_(7.0)
    first.step = 5
    first.keep()
    second = Trainer(tmp_path, Schedule(10), member=1)
    assert second.resume()
    assert second.step == 5
    assert next(second.network.parameters()).mean() == 7


def test_it_learns_a_batch_by_heart(tmp_path: Path, sources: Sources) -> None:
    trainer = Trainer(tmp_path, Schedule(steps=100, rate=2e-3, warm=1))
    batch = make_batch(sources, (0, 4))
    first = trainer.learn(batch)
    for _ in range(7):
        last = trainer.learn(batch)
    assert last["masks"] < 0.8 * first["masks"]


def test_weights_survive_the_file(tmp_path: Path) -> None:
    network, other = FieldNetwork(), FieldNetwork()
    save_weights(network, tmp_path / "weights.npz")
    load_weights(other, tmp_path / "weights.npz")
    for one, two in zip(network.state_dict().values(), other.state_dict().values()):
        assert torch.allclose(one.float(), two.float(), atol=2e-3)


def test_the_rate_rises_stays_and_falls() -> None:
    schedule = Schedule(steps=1000, rate=1.0, warm=100, fall=0.25)
    assert schedule.rate_at(0) == pytest.approx(0.01)
    assert schedule.rate_at(500) == 1.0
    assert schedule.rate_at(875) == pytest.approx(0.5)
    assert schedule.rate_at(1000) == pytest.approx(0.01)


def test_the_answer_does_not_depend_on_unused_points(sources: Sources) -> None:
    batch = make_batch(sources, (0, 5))
    network = FieldNetwork().eval()
    with torch.no_grad():
        features = network.encoder(batch.images)
        crops = crop(features, batch.picture, batch.level, batch.origin)
        one = network.decoder(crops, Clicks(batch.points, batch.labels, batch.boxes))
        moved = torch.where((batch.labels < 0)[..., None], batch.points + 5, batch.points)
        two = network.decoder(crops, Clicks(moved, batch.labels, batch.boxes))
    assert torch.allclose(one.logits, two.logits, atol=1e-4)
