"""Blocks in which no setting of the process or thread is seen, and after which all are as before."""

import os
import subprocess
import sys
import threading

import pytest
import torch

from lorae import isolation
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_a_process_whose_other_thread_holds_the_lock_does_not_wait_for_it():
    script = (
        "import os, signal, torch, lorae.isolation\n"
        "with lorae.isolation._full_precision._lock:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        signal.alarm(30)\n"
        "        with lorae.isolation.isolated():\n"
        "            os._exit(0)\n"
        "    print(os.waitpid(child, 0)[1])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=200)
    assert found.stdout == "0\n"


@pytest.mark.parametrize("allowed", [True, False])
def test_a_model_measures_with_exact_convolutions_and_restores_the_setting(allowed, trained, images, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    model, seen = trained.load_model(), []
    model.encoder.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    model.encode(images)
    assert set(seen) == {False}
    assert torch.backends.cudnn.allow_tf32 is allowed


def test_a_setting_is_restored_by_the_last_block_of_several_threads(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with isolation.full_convolutions:
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(30)
    with isolation.full_convolutions:
        pass
    assert not torch.backends.cudnn.allow_tf32  # the other block still needs it
    leave.set()
    thread.join()
    assert torch.backends.cudnn.allow_tf32
