"""Blocks in which no setting of the process or thread is seen, and after which all are as before."""

import threading

import pytest
import torch

from lorae.isolation import isolated
from tests.process_states import STATES, observed

# No thread has its own; code inside states dtypes, and deterministic algorithms give the same results.
SEEN = {"default dtype", "deterministic"}


@pytest.mark.parametrize("name", STATES)
def test_a_block_computes_as_in_a_fresh_process_and_restores_everything(name):
    fresh = observed()
    with STATES[name]():
        before = observed()
        assert before != fresh
        with isolated():
            inside = observed()
        assert observed() == before
        with pytest.raises(KeyboardInterrupt), isolated():
            raise KeyboardInterrupt
        assert observed() == before
    assert observed() == fresh
    assert (inside == fresh) is (name not in SEEN)


def test_gradients_are_recorded_within_inference_mode():
    with torch.inference_mode(), isolated():
        x = torch.ones(2, requires_grad=True)
        x.square().sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_the_precision_of_products_is_restored_by_the_last_of_several_threads():
    torch.set_float32_matmul_precision("medium")
    entered, leave = threading.Event(), threading.Event()

    def stay():
        with isolated():
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=stay)
    try:
        with isolated():
            other.start()
            entered.wait(10)
        assert torch.get_float32_matmul_precision() == "highest"  # the other thread still computes
        leave.set()
        other.join()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        leave.set()
        torch.set_float32_matmul_precision("highest")
