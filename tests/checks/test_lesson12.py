"""Lesson 12's exercises: right answers written in another way pass, and enough wrong ones fail."""

import copy

import pytest
import torch
from torch import nn

from course_utils.checks import check, lesson12
from course_utils.checks.feedback import Feedback
from course_utils.checks.lesson12 import EXERCISES
from course_utils.evaluation.intervals import wilson


def report_by_sorting(validation, test):
    best = max(validation)
    return next(t for v, t in zip(validation, test) if v == best)


def means_by_matrix(v, y, classes):
    one = torch.nn.functional.one_hot(y, classes).float()
    return one.T @ v / one.sum(0)[:, None]


def consistency_in_a_loop(weak, strong, threshold):
    total = torch.zeros(())
    for p, logp in zip(weak.detach().softmax(-1), strong.log_softmax(-1)):
        if p.max() >= threshold:
            total = total - logp[p.argmax()]
    return total / len(weak)


def consistency_by_where(weak, strong, threshold):
    p = weak.detach().softmax(-1).max(-1)
    each = torch.nn.functional.cross_entropy(strong, p.indices, reduction="none")
    return torch.where(p.values >= threshold, each, torch.zeros(())).mean()


def lowest_by_masks(confidence, right, precision):
    good = []
    for t in confidence:
        let_in = confidence >= t
        if wilson(int((right & let_in).sum()), int(let_in.sum())).low >= precision:
            good.append(t)
    return min(good) if good else None


def consistency_0_without_any(weak, strong, threshold):
    p = weak.detach().softmax(-1).max(-1)
    let_in = p.values >= threshold
    if not let_in.any():
        return 0.0
    each = torch.nn.functional.cross_entropy(strong[let_in], p.indices[let_in], reduction="none")
    return each.sum() / len(weak)


def k_centre_in_loops(points, bought, free, count):
    centres, left, chosen = bought.nonzero()[:, 0].tolist(), free.nonzero()[:, 0].tolist(), []
    for _ in range(count):
        far = [min((points[i] - points[c]).norm().item() for c in centres) for i in left]
        i = left.pop(far.index(max(far)))
        centres.append(i)
        chosen.append(i)
    return torch.tensor(chosen)


def distillation_by_torch(new, old, temperature):
    old = old.detach() / temperature
    loss = torch.nn.functional.kl_div(
        (new / temperature).log_softmax(-1), old.softmax(-1), reduction="batchmean"
    )
    return loss * temperature**2


def cusum_by_minima(z, slack):
    total = torch.cat([torch.zeros(1), (z - slack).cumsum(0)])
    return (total - total.cummin(0).values)[1:]


def cusum_as_a_list(z, slack):
    found, total = [], torch.tensor(0.0)
    for value in z:
        total = (total + value - slack).clamp(min=0)
        found.append(total)
    return found


def cusum_of_the_formula(z, slack):
    """Python's max with a whole 0, over the tensor's own entries."""
    found, total = [], 0
    for value in z:
        total = max(0, total + value - slack)
        found.append(total)
    return found


def cusum_of_the_formula_as_a_tensor(z, slack):
    return torch.tensor([float(s) for s in cusum_of_the_formula(z, slack)])


def cusum_of_whole_zeros(z, slack):
    found = cusum_of_the_formula(z.tolist(), slack)
    return torch.tensor(found)


def statistics_by_momentum_1(model, images):
    new = copy.deepcopy(model)
    new.eval()
    for module in new.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
            module.momentum = 1.0
    with torch.no_grad():
        new(images)
    new.eval()
    return new


def statistics_by_hooks(model, images):
    new = copy.deepcopy(model).eval()

    def measure(module, inputs):
        module.running_mean = inputs[0].mean((0, 2, 3))
        module.running_var = inputs[0].var((0, 2, 3))

    norms = [m for m in new.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [m.register_forward_pre_hook(measure) for m in norms]
    with torch.no_grad():
        new(images)
    for hook in hooks:
        hook.remove()
    return new


def forgetting_in_loops(R):
    last = len(R) - 1
    falls = [max(R[i, j] for i in range(last)) - R[last, j] for j in range(last)]
    return sum(falls) / last


def fisher_by_autograd(W, items):
    total = torch.zeros_like(W)
    for x in items:
        logp = (W @ x).log_softmax(-1)
        for c in range(len(W)):
            (grad,) = torch.autograd.grad(logp[c], W, retain_graph=True)
            total = total + logp[c].detach().exp() * grad**2 / len(items)
    return total


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("12.1", "b"),
        ("12.1", " B"),
        ("12.2", report_by_sorting),
        ("12.3", means_by_matrix),
        ("12.4", "b"),
        ("12.5", consistency_in_a_loop),
        ("12.5", consistency_by_where),
        ("12.5", consistency_0_without_any),
        ("12.6", lowest_by_masks),
        ("12.7", k_centre_in_loops),
        ("12.8", forgetting_in_loops),
        ("12.9", distillation_by_torch),
        ("12.10", fisher_by_autograd),
        ("12.11", cusum_by_minima),
        ("12.11", cusum_as_a_list),
        ("12.11", cusum_of_the_formula),
        ("12.11", cusum_of_the_formula_as_a_tensor),
        ("12.11", cusum_of_whole_zeros),
        ("12.12", 0),
        ("12.12", 99.5),
        ("12.13", statistics_by_momentum_1),
        ("12.13", statistics_by_hooks),
    ],
)
def test_right_answers_written_differently_pass(number, answer):
    EXERCISES[number].test(answer)


# What each wrong answer is told: a piece of the message that names the mistake
NAMED = {
    "12.2": [
        "choose on the test",
        "too high as well",
        "mean over all",
        "take the first",
        "not its accuracy",
    ],
    "12.3": [
        "are the same",
        "don't divide",
        "of the \\*class\\*",
        "not over dimensions",
        "aren't sorted",
    ],
    "12.5": [
        "nan",
        ">=",
        "all n questions",
        "threshold isn't used",
        "strong view's own",
        "to be sure",
        "not all probabilities",
        "softmax before",
        "takes logits",
        "a mean over",
        "exchanged",
    ],
    "12.6": [
        "observed",
        "upper end",
        "highest threshold",
        "first threshold from above",
        "measure it",
        "let in, not of all",
        ">=",
    ],
    "12.7": [
        "distances change",
        "not the mean distance",
        "not to the farthest",
        "not only the last",
        "not to the mean of all",
        "closest",
        "`free`",
    ],
    "12.8": [
        "backward transfer",
        "leave it out",
        "turned round",
        "before the last",
        "not the sum",
        "over stages",
    ],
    "12.9": [
        "is missing",
        "\\*square\\*",
        "are exchanged",
        "aren't divided",
        "Only the old",
        "goes over answers",
        "not the sum",
        "cross-entropy",
    ],
    "12.10": ["square of a mean", "weight each", "likeliest alone", "squared too", "not the sum"],
    "12.11": [
        "max with 0 is missing",
        "in every batch",
        "bring S down",
        "isn't taken off",
        "not added",
        "one per batch",
    ],
}
GUESSES = ("12.1", "12.4", "12.12")  # without a list of mistakes
OWN = "12.13"  # names its mistakes itself


@pytest.mark.parametrize(("number", "i"), [(n, i) for n in NAMED for i in range(len(NAMED[n]))])
def test_a_wrong_answer_is_told_what_is_wrong(number, i, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    wrong, _ = EXERCISES[number].mistakes[i]
    with pytest.raises(Feedback, match=f"(?i){NAMED[number][i]}"):
        check(number, wrong)


@pytest.mark.parametrize(
    ("number", "answer", "reason"),
    [
        ("12.1", "a", "expect good"),
        ("12.1", "c", "expect bad"),
        ("12.4", "a", "turns round"),
        ("12.4", "c", "above or below"),
        ("12.4", "d", "other colours"),
    ],
)
def test_a_wrong_choice_is_told_why(number, answer, reason, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    with pytest.raises(Feedback, match=f"(?i){reason}"):
        check(number, answer)


def test_every_known_mistake_is_tried_above():
    for number, exercise in EXERCISES.items():
        if number not in (*GUESSES, OWN):
            assert len(exercise.mistakes) == len(NAMED[number]) >= 3


# New statistics


def in_place(model, images):
    new = lesson12._new_statistics(model, images)
    model.load_state_dict(new.state_dict())
    return model


def other_weights(model, images):
    new = lesson12._new_statistics(model, images)
    with torch.no_grad():
        next(new.parameters()).mul_(1.1)
    return new


def still_in_train_mode(model, images):
    return lesson12._new_statistics(model, images).train()


def parts_in_train_mode(model, images):
    new = lesson12._new_statistics(model, images)
    for module in new.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    new.training = False
    return new


def at_the_top_only(model, images):
    new = copy.deepcopy(model).eval()
    for module in new.children():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
            module.train()
    with torch.no_grad():
        new(images)
    return new.eval()


def means_slightly_off(model, images):
    new = lesson12._new_statistics(model, images)
    for module in new.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean += 2e-3
    return new


def layer_by_layer(model, images):
    """Statistics of inputs that were made with the old ones."""
    new, old = copy.deepcopy(model).eval(), copy.deepcopy(model).eval()
    norms = [[m for m in net.modules() if isinstance(m, nn.BatchNorm2d)] for net in (new, old)]
    for mine, its in zip(*norms):

        def measure(module, inputs, mine=mine):
            mine.running_mean = inputs[0].mean((0, 2, 3))
            mine.running_var = inputs[0].var((0, 2, 3))

        its.register_forward_pre_hook(measure)
    with torch.no_grad():
        old(images)
    return new


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lesson12._nothing_done, "are the old ones"),
        (lesson12._mixed_in, "by a tenth"),
        (lesson12._reset_only, "no picture has gone"),
        (lesson12._reset_and_mixed, "look at `momentum`"),
        (lesson12._everything_in_train_mode, "dropout drops"),
        (parts_in_train_mode, "layers of the copy are in train mode"),
        (at_the_top_only, "layer 1"),
        (means_slightly_off, "the mean of layer 1"),
        (in_place, "has changed"),
        (other_weights, "No weight changes"),
        (still_in_train_mode, "in eval mode"),
        (layer_by_layer, "layer 2"),
        (lambda model, images: model, "has changed"),
        (lambda model, images: model.train() and images, "expected a model"),
        (lambda model, images: None, "expected a model"),
        (3, "expected a function"),
    ],
)
def test_wrong_statistics_are_told_what_is_wrong(wrong, reason):
    with pytest.raises(Feedback, match=reason):
        EXERCISES["12.13"].test(wrong)


def test_a_right_copy_is_not_named_as_a_mistake():
    """Where no layer drops, all in train mode gives the right statistics."""
    model, images = nn.Sequential(nn.BatchNorm2d(3)), torch.randn(9, 3, 4, 4)
    new = lesson12._everything_in_train_mode(model, images)
    lesson12._compare_states(model, new, images, "a model")


# Replies that aren't true of the answer


def prints_only(*given):
    print(given)


def nothing_found(*given):
    return None


def ignores_ties(confidence, right, precision):
    """Counts one answer after the other, from the surest on, not all that are as sure."""
    order, found = confidence.argsort(descending=True, stable=True), None
    for k in range(1, len(order) + 1):
        if wilson(int(right[order[:k]].sum()), k).low >= precision:
            found = confidence[order[k - 1]].item()
    return found


def by_the_normal_interval(confidence, right, precision):
    for t in confidence.sort().values.tolist():
        let_in = confidence >= t
        n, share = int(let_in.sum()), right[let_in].double().mean().item()
        if share - 1.96 * (share * (1 - share) / n) ** 0.5 >= precision:
            return t
    return None


def backward_transfer(R):
    return (R[-1] - R.diagonal())[:-1].mean().item()


def worst_on_validation(validation, test):
    return test[min(range(len(validation)), key=lambda i: validation[i])]


def kl_by_the_default(new, old, temperature):
    p = (old.detach() / temperature).softmax(-1)
    return temperature**2 * nn.KLDivLoss()((new / temperature).log_softmax(-1), p)


@pytest.mark.parametrize(
    ("number", "wrong", "untrue"),
    [
        ("12.6", prints_only, "first threshold"),
        ("12.6", nothing_found, "first threshold"),
        ("12.6", ignores_ties, ">="),
        ("12.6", by_the_normal_interval, ">="),
        ("12.6", lambda c, right, p: c[right].min(), "upper end"),
        ("12.8", backward_transfer, "goes over families"),
        ("12.2", worst_on_validation, "choose on the test"),
        ("12.9", kl_by_the_default, "is missing"),
    ],
)
def test_no_answer_is_told_what_is_true_of_another(number, wrong, untrue, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "1")
    with pytest.raises(Feedback) as told:
        check(number, wrong)
    assert untrue not in str(told.value)


def test_the_reasons_of_a_choice_are_sentences():
    for letter in "acd":
        with pytest.raises(Feedback, match=r"is not right\. [A-Z]"):
            EXERCISES["12.4"].test(letter)


# Gradients


def without_detach(weak, strong, threshold):
    """The right value, by probabilities that let a gradient through."""
    p = weak.softmax(-1).max(-1)
    each = (
        -strong.log_softmax(-1).gather(1, p.indices[:, None])[:, 0] + p.values - p.values.detach()
    )
    return (each * (p.values >= threshold)).mean()


def detached_strong(weak, strong, threshold):
    return consistency_in_a_loop(weak, strong.detach(), threshold)


def half_gradient(weak, strong, threshold):
    return consistency_in_a_loop(weak, (strong + strong.detach()) / 2, threshold)


def distillation_into_both(new, old, temperature):
    p = (old / temperature).softmax(-1)
    ratio = p.log() - (new / temperature).log_softmax(-1)
    return temperature**2 * (p * ratio).sum(-1).mean()


@pytest.mark.parametrize(
    ("number", "value", "message"),
    [
        ("12.1", "e", "expected one of"),
        ("12.2", lambda v, t: None, "None"),
        ("12.2", lambda v, t: min(max(v), lesson12._report(v, t)), "too small"),
        ("12.3", lambda v, y, classes: v, "shape"),
        ("12.5", without_detach, "is a constant"),
        ("12.5", detached_strong, "has no gradient"),
        ("12.5", half_gradient, "gradient of the strong view"),
        ("12.5", lambda w, s, t: 0.3, "."),
        ("12.6", lambda c, r, p: 0.5, "."),
        ("12.7", lambda points, bought, free, count: [0] * count, "chosen twice"),
        ("12.7", lambda points, bought, free, count: free, "a mask"),
        ("12.8", lambda R: R, "one number"),
        ("12.9", distillation_into_both, "flows into the old"),
        ("12.10", lambda W, items: W[0], "shape"),
        ("12.11", lambda z, slack: z[0], "shape"),
        ("12.11", lambda z, slack: z > slack, "bool"),
        ("12.12", 140, "0 to 100"),
    ],
)
def test_answers_of_another_kind_are_told_so(number, value, message):
    with pytest.raises(Feedback, match=message):
        EXERCISES[number].test(value)
