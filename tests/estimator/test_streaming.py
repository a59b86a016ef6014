"""Batches one after the other: the sample that is kept, and fits that go on."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.decomposition import PCA, IncrementalPCA

from lorae import LoRAE
from lorae.estimator import streaming
from lorae.estimator.streaming import Sample

QUICK = {"epochs": 20, "random_state": 0}


def empty(most):
    return Sample(np.zeros((0, 1)), np.zeros(0), most=most)


def error_of(model, items):
    return np.square((model.inverse_transform(model.transform(items)) - items) / items.std(0)).mean()


def test_each_item_of_a_stream_is_kept_with_the_same_probability():
    generator, kept = np.random.default_rng(0), np.zeros(60)
    for _ in range(3000):
        sample = empty(12)
        for batch in np.array_split(np.arange(60.0), [5, 20, 21, 50]):
            sample.add(batch[:, None], batch, generator)
        assert sample.seen == 60
        np.testing.assert_array_equal(sample.items[:, 0], sample.weights)  # they stay together
        kept[sample.items[:, 0].astype(int)] += 1
    assert len(np.unique(sample.items)) == 12
    # Five standard deviations of a share.
    np.testing.assert_allclose(kept / 3000, 12 / 60, atol=5 * np.sqrt(0.2 * 0.8 / 3000))


def test_a_sample_keeps_everything_in_order_while_there_is_room():
    sample = empty(12)
    for batch in (np.arange(5.0), np.arange(5.0, 12.0)):
        sample.add(batch[:, None], batch, np.random.default_rng(0))
    assert sample.items[:, 0].tolist() == list(range(12))


def test_the_first_batch_is_a_fit(plane):
    first = LoRAE(3, **QUICK | {"epochs": 2}).partial_fit(plane[:100])
    whole = LoRAE(3, **QUICK | {"epochs": 2}).fit(plane[:100])
    np.testing.assert_array_equal(first.transform(plane), whole.transform(plane))
    assert first.n_samples_seen_ == 100
    with pytest.raises(AttributeError, match="only partial_fit counts items"):
        _ = whole.n_samples_seen_


def test_batches_of_linear_data_end_as_the_pca_of_all_of_them():
    generator = np.random.default_rng(0)
    items = generator.normal(size=(300, 2)) @ generator.normal(size=(2, 6)) + 0.1 * generator.normal(size=(300, 6))
    model = LoRAE(2, standardize=False, **QUICK | {"epochs": 2})
    for batch in np.array_split(items, 4):
        model.partial_fit(batch)
    assert not model.curved_
    pca = PCA(2).fit(items)
    expected = pca.inverse_transform(pca.transform(items))
    np.testing.assert_allclose(model.inverse_transform(model.transform(items)), expected, atol=1e-6)


def test_batches_of_curved_data_are_learned_and_the_network_is_kept(plane):
    model, linear = LoRAE(2, **QUICK | {"epochs": 60}), IncrementalPCA(2)
    scaled = plane / plane.std(0)
    errors = []
    for batch in np.array_split(np.arange(400), [150, 300, 350]):
        model.partial_fit(plane[batch])
        linear.partial_fit(scaled[batch])
        errors.append(error_of(model, plane))
    assert model.curved_
    assert errors[-1] <= errors[0]
    assert errors[-1] < 0.7 * np.square(linear.inverse_transform(linear.transform(scaled)) - scaled).mean()
    assert model.transform(plane).shape == (400, 2)


def test_a_stream_takes_bounded_memory_and_goes_on_after_pickle(plane, monkeypatch):
    monkeypatch.setattr(streaming, "KEPT", 60)
    model = LoRAE(2, **QUICK | {"epochs": 1})
    for batch in np.array_split(plane, 5):
        model = pickle.loads(pickle.dumps(model.partial_fit(batch, sample_weight=np.ones(len(batch)))))
    assert (model.n_samples_seen_, len(model._sample.items)) == (400, 60)
    assert set(map(bytes, model._sample.items)) <= set(map(bytes, plane))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.ones((5, 11)), "11 features"),
        (np.full((5, 12), np.nan), "NaN"),
        (np.zeros((0, 12)), "minimum of 1"),
    ],
)
def test_a_batch_that_does_not_fit_changes_nothing(batch, message, plane):
    model = LoRAE(2, **QUICK | {"epochs": 1}).partial_fit(plane[:50])
    before, codes = copy.deepcopy(model._sample), model.transform(plane)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(batch)
    assert model.n_samples_seen_ == before.seen
    np.testing.assert_array_equal(model._sample.items, before.items)
    np.testing.assert_array_equal(model.transform(plane), codes)


def test_another_rank_is_refused_and_auto_keeps_the_first(plane):
    model = LoRAE("auto", **QUICK | {"epochs": 1}).partial_fit(plane[:100])
    rank = model.rank_
    assert model.partial_fit(plane[100:101]).rank_ == rank
    with pytest.raises(ValueError, match=f"rank: got {rank + 1}, but this fit goes on from a model of rank {rank}"):
        model.set_params(rank=rank + 1).partial_fit(plane[101:200])
    assert model.n_samples_seen_ == 101


def test_after_a_fit_the_network_goes_on_with_the_batch(fitted, plane, tmp_path):
    generator = np.random.default_rng(5)
    new = plane[:200] + 1e-6 * generator.normal(size=(200, 12)) * plane.std(0)  # items that it was not trained on
    for model in (copy.deepcopy(fitted), LoRAE.load(fitted.save(tmp_path / "a.safetensors"))):
        model.set_params(epochs=1).partial_fit(new)
        assert (model.n_samples_seen_, model.curved_) == (200, True)
        assert error_of(model, plane) < 1.2 * error_of(fitted, plane)
    model.fit(plane[:60])
    assert model._sample is None


def test_too_few_items_wait_for_more(fitted, plane):
    model = copy.deepcopy(fitted).partial_fit(plane[:1])
    assert model.n_samples_seen_ == 1
    np.testing.assert_array_equal(model.transform(plane), fitted.transform(plane))
    linear = LoRAE(2, **QUICK | {"epochs": 1}).partial_fit(plane[:6])
    before = linear.transform(plane)
    np.testing.assert_array_equal(linear.partial_fit(plane[6:10]).transform(plane), before)
    assert not np.array_equal(linear.partial_fit(plane[10:30]).transform(plane), before)
