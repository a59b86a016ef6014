import torch

from lorae.optim.adam import NEGLIGIBLE_MOMENT, flush_denormal_moments


def trained_with_a_dead_weight(clear, steps=1500):
    """Two weights, of which the second gets a gradient in the first step only."""
    weights = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    optimizer = torch.optim.Adam([weights], lr=1e-3, fused=True)
    for step in range(steps):
        weights.grad = torch.tensor([weights[0].item(), float(step == 0)])
        optimizer.step()
        if clear and step % 100 == 99:
            flush_denormal_moments(optimizer)
    return weights.detach(), optimizer.state[weights]["exp_avg"]


def test_clearing_changes_no_weight_and_leaves_no_denormal_number():
    kept, faded = trained_with_a_dead_weight(clear=False)
    cleared, averages = trained_with_a_dead_weight(clear=True)
    tiny = torch.finfo(torch.float32).tiny
    assert 0 < faded[1] < tiny  # the trouble is real
    assert averages[1] == 0
    assert averages[0] == faded[0] > NEGLIGIBLE_MOMENT
    assert torch.equal(kept, cleared)


def test_what_is_just_above_takes_more_than_a_hundred_steps_to_fade():
    assert torch.finfo(torch.float32).tiny < NEGLIGIBLE_MOMENT * 0.9**100
