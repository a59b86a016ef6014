"""Games with an adversary: what each side pays, and who moves whose weights."""

import pytest
import torch
from torch.nn.functional import logsigmoid

from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.objectives.adversarial import LOSSES, GANObjective, WAEGANObjective
from lorae.training.step import EagerStep, build_optimizers

WEIGHTS = {"generator": 1.0, "discriminator": 1.0}


def model(encodes=True):
    torch.manual_seed(0)
    return Autoencoder(ModelSpec("mnist", (1, 16, 16), 6, 0.125, encodes=encodes))


def game(kind):
    if kind == "latents":
        return WAEGANObjective(model(), WEIGHTS)
    return GANObjective(model(encodes=False), WEIGHTS, kind)


@pytest.fixture
def batch():
    return torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def scores():
    return torch.linspace(-4, 4, 9)


def test_losses_are_those_of_the_papers(scores):
    log_real, log_false = logsigmoid(scores).mean(), logsigmoid(-scores).mean()
    for name in ("minimax", "non-saturating"):
        torch.testing.assert_close(LOSSES[name].real(scores), -log_real)
        torch.testing.assert_close(LOSSES[name].false(scores), -log_false)
    torch.testing.assert_close(LOSSES["minimax"].generator(scores), log_false)  # log(1 - S(a))
    torch.testing.assert_close(LOSSES["non-saturating"].generator(scores), -log_real)
    torch.testing.assert_close(LOSSES["least-squares"].generator(scores), 0.5 * ((scores - 1) ** 2).mean())
    torch.testing.assert_close(LOSSES["least-squares"].real(scores), 0.5 * ((scores - 1) ** 2).mean())
    torch.testing.assert_close(LOSSES["least-squares"].false(scores), 0.5 * (scores**2).mean())


@pytest.mark.parametrize("name", LOSSES)
def test_being_taken_for_real_pays_the_generator(name):
    assert LOSSES[name].generator(torch.tensor([0.9])) < LOSSES[name].generator(torch.tensor([-0.9]))


@pytest.mark.parametrize("kind", ["latents", *LOSSES])
def test_players_share_no_weights_and_move_only_their_own(kind, batch):
    objective = game(kind)
    targets = objective.targets()
    ids = [{id(parameter) for parameter in target.parameters} for target in targets]
    assert ids[0]
    assert ids[1]
    assert not ids[0] & ids[1]
    for target in targets:
        before = [[p.detach().clone() for p in other.parameters] for other in targets]
        target.compute_loss(batch).loss.backward(inputs=target.parameters)
        torch.optim.SGD(target.parameters, lr=0.1).step()
        for other, old in zip(targets, before, strict=True):
            moved = any(not torch.equal(p, q) for p, q in zip(other.parameters, old, strict=True))
            assert moved == (other is target), (target.name, other.name)


@pytest.mark.parametrize("kind", ["latents", *LOSSES])
def test_a_step_reports_every_term_once(kind, batch):
    objective = game(kind)
    step = EagerStep(objective, build_optimizers(objective, 1e-3), torch.contiguous_format)
    result = step((batch * 255).to(torch.uint8))
    assert result.names == ("loss", *objective.weights)
    assert result.values.shape == (1 + len(objective.weights),)
    assert result.values.isfinite().all()
    assert result.latents.shape == (8, 6)
    torch.testing.assert_close(result["loss"], sum(result[name] for name in objective.weights))  # all weights are 1


def test_the_latent_adversary_learns_to_tell_latents_from_normal_ones(batch):
    objective = game("latents")
    _, adversary = objective.targets()
    objective.compute_loss(batch)
    optimizer = torch.optim.Adam(adversary.parameters, lr=1e-3)
    losses = []
    for _ in range(60):
        outcome = adversary.compute_loss(batch)
        optimizer.zero_grad()
        outcome.loss.backward(inputs=adversary.parameters)
        optimizer.step()
        losses.append(outcome.loss.item())
    assert sum(losses[-10:]) < 0.2 * sum(losses[:10])


def test_generated_items_come_from_the_prior_and_need_no_encoder(batch):
    objective = game("minimax")
    assert not list(objective.model.encoder.parameters())
    other = torch.rand_like(batch)
    torch.manual_seed(1)
    first = objective.compute_loss(batch)
    torch.manual_seed(1)
    again = objective.compute_loss(other)
    assert torch.equal(first.latents, again.latents)
    assert torch.equal(first.loss, again.loss)  # the generator never sees the batch, only how large it is
