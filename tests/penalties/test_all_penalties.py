"""Every penalty that the registry finds, whoever wrote it."""

import pytest
import torch

from lorae.config.methods import METHODS, list_methods
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.objectives.objective import Objective
from lorae.penalties import penalty_names


def fresh_model():
    torch.manual_seed(0)
    return Autoencoder(ModelSpec("mnist", (1, 16, 16), 6, 0.125, "linear", {"layers": 1}))


@pytest.fixture
def batch():
    return torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", penalty_names())
def test_penalty_is_a_finite_scalar_with_a_finite_gradient_that_is_not_zero(name, batch):
    model = fresh_model()
    _, terms, _ = Objective(model, {name: 1.0})(batch)
    assert terms[name].shape == ()
    assert terms[name].isfinite()
    terms[name].backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in gradients)
    assert any(g.abs().max() > 0 for g in gradients)


@pytest.mark.parametrize("name", penalty_names())
def test_changing_the_weight_changes_an_update(name, batch):
    updated = []
    for weight in (1e-3, 1.0):
        model = fresh_model()
        loss, _, _ = Objective(model, {name: weight})(batch)
        loss.backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
        updated.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert not torch.equal(*updated)


@pytest.mark.parametrize("name", penalty_names())
def test_weight_of_zero_changes_nothing_but_is_still_measured(name, batch):
    model = fresh_model()
    plain, _, _ = Objective(model, {})(batch)
    loss, terms, _ = Objective(model, {name: 0.0})(batch)
    assert loss.item() == plain.item()
    assert name in terms


@pytest.mark.parametrize("name", penalty_names())
def test_penalties_are_computed_in_full_precision(name, batch):
    _, terms, _ = Objective(fresh_model(), {name: 1.0}, bfloat16=True)(batch)
    assert terms[name].dtype == torch.float32


@pytest.mark.parametrize("name", penalty_names())
def test_the_last_batch_of_an_epoch_may_have_one_item(name, batch):
    model = fresh_model()
    loss, terms, _ = Objective(model, {name: 1.0})(batch[:1])
    loss.backward()
    assert terms[name].isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", penalty_names())
def test_vectors_are_penalised_like_images(name):
    torch.manual_seed(0)
    model = Autoencoder(ModelSpec("mlp", (5,), 3, 0.125, "linear", {"layers": 2}))
    _, terms, _ = Objective(model, {name: 1.0})(torch.randn(4, 5))
    terms[name].backward()
    assert terms[name].isfinite()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_nuclear_penalty_of_a_chain_acts_on_the_product(batch):
    model = Autoencoder(ModelSpec("mnist", (1, 16, 16), 6, 0.125, "linear", {"layers": 3}))
    _, terms, _ = Objective(model, {"nuclear": 1.0})(batch)
    expected = torch.linalg.svdvals(model.bottleneck.matrix()).sum()
    torch.testing.assert_close(terms["nuclear"], expected)


@pytest.mark.parametrize("reconstruction", ["mean", "sum"])
def test_reconstruction_term_by_hand(reconstruction, batch):
    model = fresh_model()
    loss, terms, _ = Objective(model, {}, reconstruction=reconstruction)(batch)
    error = (model(batch).x_hat - batch).square()
    expected = error.mean() if reconstruction == "mean" else error.flatten(1).sum(1).mean()
    torch.testing.assert_close(terms["reconstruction"], expected)
    torch.testing.assert_close(loss, expected)


def test_listing_has_each_method_and_penalty_once_with_its_source():
    rows = list_methods()
    assert [row["name"] for row in rows if row["kind"] == "method"] == list(METHODS)
    assert [row["name"] for row in rows if row["kind"] == "penalty"] == penalty_names()
    assert all(row["source"] and row["summary"] for row in rows)


def test_table_refuses_a_name_that_stands_twice():
    from lorae.config.methods import table

    row = METHODS["ae"]
    with pytest.raises(ValueError, match="'ae' is in the table twice"):
        table([row, row])
