"""Spikes are told from noise."""

import numpy as np

from actionclip_jax.training import loss_spikes


def feed(losses):
    spikes = loss_spikes.LossSpikes()
    return [said for step, loss in enumerate(losses) if (said := spikes.add(step, loss))], spikes


def test_noise_and_a_falling_loss_are_no_spikes():
    rng = np.random.default_rng(0)
    falling = 3 * np.exp(-np.arange(2000) / 400) + 0.1 + rng.normal(0, 0.05, 2000)
    assert feed(falling)[0] == []
    assert feed(np.full(100, 2.0))[0] == []


def test_a_spike_is_said_with_what_was_usual():
    losses = list(np.random.default_rng(1).normal(2.0, 0.05, 100))
    losses[60] = 5.0
    said, spikes = feed(losses)
    assert len(said) == spikes.count == 1
    assert said[0].startswith("step 60: loss 5.000, where 2.0") and said[0].endswith("was usual")


def test_the_first_steps_and_losses_that_are_not_finite_are_none():
    assert feed([1.0, 50.0, 1.0, 80.0])[0] == []
    assert feed([1.0] * 50 + [float("nan"), float("inf")])[0] == []
