"""Noticing changed data: CUSUM, calibration, what is watched, and tuning again."""

import pytest
import torch
from torch import nn

from course_utils.datasets.files import data_path
from course_utils.datasets.world_vqa import world_data
from course_utils.evaluation.evaluate import evaluate, representations
from course_utils.methods import detectors as t
from course_utils.methods import drift as d
from course_utils.methods.answering import world_model
from course_utils.models.weights import load_weights
from course_utils.training.freezing import freeze_statistics


def reference(z, slack):
    """S_t as the highest of all sums of z - slack that end at t, and 0."""
    return [
        max(0.0, *(sum(v - slack for v in z[i : t + 1]) for i in range(t + 1)))
        for t in range(len(z))
    ]


def test_cusum_by_hand():
    assert t.cusum(torch.tensor([[1.0, -2.0, 2.0, 2.0]]), 0.5).tolist() == [[0.5, 0.0, 1.5, 3.0]]


def test_cusum_equals_the_best_sum():
    z = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor([reference(row, 0.3) for row in z.tolist()])
    torch.testing.assert_close(t.cusum(z, 0.3), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="streams, batches"):
        t.cusum(z[0], 0.3)


def test_first_alarm():
    above = torch.tensor([[0, 0, 0], [0, 1, 1], [1, 0, 0]]).bool()
    assert t.first_alarm(above).tolist() == [3, 1, 0]


def test_a_detector_that_watches_both_sides():
    z = torch.tensor([[-3.0, -3.0], [3.0, 3.0]])
    up, both = t.Detector(0, 1, 2.0), t.Detector(0, 1, 2.0, both=True)
    assert up(z).tolist() == [[False, False], [True, True]]
    assert both(z).tolist() == [[True, True], [True, True]]
    scaled = t.Detector(10, 5, 2.0)  # numbers are standardised
    torch.testing.assert_close(scaled.level(10 + 5 * z), up.level(z))


def streams(scores, seed, batches=80):
    return t.mean_doubt(t.draw_batches(scores[:, None], 2000, batches, seed))


def skewed(seed):
    return torch.rand(4000, generator=torch.Generator().manual_seed(seed)) ** 2


@pytest.mark.parametrize("both", [False, True])
def test_calibration_holds_what_it_promises(both):
    detector = t.calibrate(streams(skewed(1), 0), both)
    rings = detector(streams(skewed(2), 9)).any(1)
    assert 0.02 < rings.double().mean() < 0.09  # 5 % was asked for


def test_bad_calibration_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1, got 5"):
        t.calibrate(torch.rand(10, 4), rings=5)
    with pytest.raises(ValueError, match="numbers that differ"):
        t.calibrate(torch.ones(10, 4))


def test_watching_a_clear_change_and_none():
    scores = skewed(1)
    detector, before = t.calibrate(streams(scores, 0)), streams(scores, 1, 30)
    clear, none, down = (
        t.rung(detector, before, streams(after, 2, 50))
        for after in (scores + 1, scores, scores - 1)
    )
    assert clear["missed"] == 0 and clear["delay"] <= 2 and clear["early"] < 0.05
    assert none["missed"] > 0.9 and none["delay"] is None
    assert down["missed"] == 1
    both = t.calibrate(streams(scores, 0), True)
    assert t.rung(both, before, streams(scores - 1, 2, 50))["missed"] == 0


def test_delays_by_hand():
    above = torch.tensor([[9.0, 0, 0, 0], [0, 0, 9, 0], [0, 0, 0, 9], [0, 0, 0, 0]])
    found = t.rung(t.Detector(0, 1, 2.0), above[:, :2], above[:, 2:])
    assert found == dict(early=0.25, missed=pytest.approx(1 / 3), delay=2)  # of 1, 2 and never


def test_batches_are_means_of_pictures():
    values = torch.tensor([[0.0, 5.0], [1.0, 5.0]])
    batches = t.draw_batches(values, 500, 3, 0)
    assert batches.shape == (500, 3, 2) and (batches[..., 1] == 5).all()
    assert batches[..., 0].mean() == pytest.approx(0.5, abs=0.05)
    assert batches[..., 0].std() == pytest.approx(0.5 / t.PER_BATCH**0.5, rel=0.1)
    assert torch.equal(batches, t.draw_batches(values, 500, 3, 0))


def test_shift_is_1_where_nothing_has_changed_and_grows_either_way():
    values = torch.randn(3000, 16, generator=torch.Generator().manual_seed(0))
    usual = t.shift(t.draw_batches(values, 400, 5, 0))
    assert usual.mean() == pytest.approx(1, abs=0.05)
    for moved in (values + 1, values - 1):
        assert t.shift(t.draw_batches(moved, 400, 5, 0)).mean() > 5
    by_hand = torch.tensor([[[1.0, 3.0]]])  # one stream, one batch: 8 (1 + 9) / 2
    assert t.shift(by_hand).item() == t.PER_BATCH * 5


# What is watched


@pytest.fixture(scope="module")
def model():
    found = world_model(world_data("validation", 64), "joint")
    load_weights(found, data_path("checkpoints/world_joint_0.safetensors"))
    freeze_statistics(found)
    return found


@pytest.fixture(scope="module")
def data():
    return world_data("validation", 40)


def test_doubt_equals_a_plain_loop(model, data):
    found = d.doubt(model, data)
    for k in (0, 17):
        rows = (data.image_index == k).nonzero()[:, 0].tolist()
        batch = data.__getitems__(rows)
        with torch.no_grad():
            p = model(batch.images, batch.image_index, batch.x, batch.mask).softmax(-1)
        assert found[k, 0].item() == pytest.approx((1 - p.max(-1).values).mean().item(), abs=1e-4)


def test_representations_are_what_the_head_reads(model, data):
    h, head = representations(model, data), model.head
    assert model.head is head and h.shape == (len(data), 64)
    with torch.no_grad():
        logits = head(h[:, None])
    assert torch.equal(logits.argmax(1), evaluate(model, data).predictions)


def test_values_are_standardised_by_the_reference():
    values = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    scaled = d.standardised_by(values)(values)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std(0), torch.ones(4))
    moved = d.standardised_by(values)(values + 2 * values.std(0))
    torch.testing.assert_close(moved, scaled + 2)


def test_what_is_watched_of_validation_pictures(model, data):
    found = d.watches(model, data, batches=20, streams=300)
    assert set(found) == {"doubt", "pixels", "probabilities", "shift of h"}
    for watch in found.values():  # the second half sets the detector
        torch.testing.assert_close(watch.values(data)[20:], watch.unchanged)
        assert not watch.detector()(watch.stream(watch.unchanged, 5, 3)).all()
        assert watch.stream(watch.unchanged, 5, 3).shape == (300, 5)
        assert watch.stream(watch.unchanged, 5, 3, streams=7).shape == (7, 5)


def test_a_shift_is_standardised_by_the_first_half_alone(model, data):
    found = d.watches(model, data, batches=20, streams=300)
    for name in ("pixels", "probabilities", "shift of h"):
        first = found[name].values(data)[:20]  # (pictures, dim)
        torch.testing.assert_close(first.mean(0), torch.zeros(first.shape[1]), atol=1e-3, rtol=0)


def test_pixels_and_probabilities_by_hand(model, data):
    v = data.images[3].float() / 255
    assert d.pixels(data)[3].tolist() == pytest.approx([v.mean().item(), v.std().item()], abs=1e-5)
    found = d.probabilities(model, data)
    assert found.shape == (len(data.images), len(data.answers))
    torch.testing.assert_close(found.sum(1), torch.ones(len(found)))


def test_new_statistics_are_those_of_the_pictures(model, data):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    new = d.new_statistics(model, data.images)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(module.training for module in new.modules())
    for (name, a), (_, b) in zip(model.named_parameters(), new.named_parameters()):
        assert torch.equal(a, b), name
    conv, norm = new.stem.blocks[0][:2]
    with torch.no_grad():
        inputs = conv(data.images.float() / 255)  # (pictures, channels, height, width)
    torch.testing.assert_close(norm.running_mean, inputs.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, inputs.var((0, 2, 3)), rtol=1e-4, atol=1e-6)
    again = d.new_statistics(new, data.images)  # of one pass, whatever was there before
    torch.testing.assert_close(again.stem.state_dict(), new.stem.state_dict())


def test_retuning_leaves_the_deployed_model_as_it_was(model, data):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    tuned = d.retune(model, data, data, updates=2, images=8, seed=0)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert any(not torch.equal(v, before[k]) for k, v in tuned.state_dict().items())
    norms = [
        (a, b) for a, b in zip(model.modules(), tuned.modules()) if isinstance(a, nn.BatchNorm2d)
    ]
    assert norms and all(torch.equal(a.running_mean, b.running_mean) for a, b in norms)


def test_a_batch_of_nan_rings_and_the_detector_goes_on():
    detector = t.Detector(mean=0.0, std=1.0, threshold=3.0, both=True)
    nan = float("nan")
    quiet = torch.tensor([[0.0, nan, 0.0, 0.0]])
    assert detector(quiet).tolist() == [[False, True, False, False]]
    loud = torch.tensor([[2.0, nan, 2.0, 2.0]])
    assert detector(loud).tolist() == [[False, True, False, True]]  # 1.5, then 3.0, then 4.5
    with pytest.raises(ValueError, match="numbers that differ"):
        t.calibrate(quiet)


def test_a_dimension_that_never_moved_is_no_division_by_zero():
    values = torch.tensor([[0.1, 1.0], [0.1, 3.0], [0.1, 2.0]])
    scale = d.standardised_by(values)
    assert scale(values)[:, 0].abs().max() < 1
    moved = scale(torch.tensor([[0.2, 2.0]]))
    assert moved[0, 0] > 1000 and moved.isfinite().all()
