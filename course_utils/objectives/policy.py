"""Learning from a reward: policy gradient with the mean of a group as baseline.

Williams 1992, "Simple statistical gradient-following algorithms" (REINFORCE): the gradient of an
expected reward is E[r grad log p]. Shao et al. 2024, "DeepSeekMath", arXiv 2402.03300, section 4.1
(GRPO): several texts for one prompt, and their mean as baseline.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def group_advantages(
    reward: Float[Tensor, "prompts group"], normalise: bool = False, eps: float = 1e-4
) -> Float[Tensor, "prompts group"]:
    """Each reward minus the mean of its group. With `normalise` divided by the group's standard
    deviation (that of n - 1) plus `eps`, as GRPO does; without, as Liu et al. 2025 advise
    (2503.20783). Where all rewards of a group are equal, 0.

    Raises:
        ValueError: not two axes, or a group of one.
    """
    if reward.ndim != 2 or reward.shape[1] < 2:
        raise ValueError(
            f"reward: expected (prompts, group) with two or more in a group, got "
            f"{tuple(reward.shape)}"
        )
    advantage = reward - reward.mean(1, keepdim=True)  # (prompts, group)
    return advantage / (reward.std(1, keepdim=True) + eps) if normalise else advantage


def policy_loss(
    log_p: Float[Tensor, "texts words"],
    mask: Bool[Tensor, "texts words"],
    advantage: Float[Tensor, " texts"],
    old_log_p: Float[Tensor, "texts words"] | None = None,
    clip: float = 0.2,
) -> Float[Tensor, ""]:
    """Minus the mean over texts of ratio * advantage, where the ratio is p / p_old of the whole
    text (GRPO takes one ratio a word; where it is 1, the gradients are the same).

    Without `old_log_p` the texts were drawn from the model itself: the ratio is 1, with a gradient,
    which is that of -(advantage * log p) on average. With advantages from groups the value of the
    loss is then 0 and says nothing. With `old_log_p` the ratio counts at most up to 1 +- clip where
    that would improve the loss (Schulman et al. 2017, "PPO", 1707.06347, equation 7).

    Raises:
        ValueError: shapes don't fit.
    """
    if log_p.shape != mask.shape or advantage.shape != log_p.shape[:1]:
        raise ValueError(
            "expected log_p and mask (texts, words) and advantage (texts,), got "
            f"{tuple(log_p.shape)}, {tuple(mask.shape)} and {tuple(advantage.shape)}"
        )
    old = log_p.detach() if old_log_p is None else old_log_p  # (texts, words)
    ratio = (log_p - old).masked_fill(~mask, 0.0).sum(1).exp()  # (texts,)
    clipped = ratio.clamp(1 - clip, 1 + clip)  # (texts,)
    return -torch.minimum(ratio * advantage, clipped * advantage).mean()


def kl_estimate(
    log_p: Float[Tensor, "texts words"],
    reference: Float[Tensor, "texts words"],
    mask: Bool[Tensor, "texts words"],
) -> Float[Tensor, ""]:
    """How far the model is from a reference, from texts that the model wrote: the mean over texts
    of the sum over words of exp(d) - d - 1, where d is reference - log_p. Each term is at least 0,
    and its expectation is KL(model, reference) of the next word, in nat (2402.03300, equation 4).
    Used as a loss, its gradient on average is that of KL(reference, model): what the model's
    change does to the drawing of the texts is left out (2506.09477).

    Raises:
        ValueError: shapes don't fit.
    """
    if not log_p.shape == reference.shape == mask.shape:
        raise ValueError(
            "expected log_p, reference and mask (texts, words), got "
            f"{tuple(log_p.shape)}, {tuple(reference.shape)} and {tuple(mask.shape)}"
        )
    d = (reference - log_p).masked_fill(~mask, 0.0)  # (texts, words)
    return (d.exp() - d - 1).sum(1).mean()
