"""The number of threads, which torch keeps for each thread and hands on to new ones."""

import threading

import pytest
import torch

from lorae.system.hardware import available_threads, threads


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def in_new_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_a_block_computes_with_its_number_and_restores_that_of_before():
    with threads(2):
        assert torch.get_num_threads() == 2
        with threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyboardInterrupt), threads(1):
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 3


def test_a_thread_that_starts_during_a_training_elsewhere_has_the_number_of_before():
    with threads(1):
        assert in_new_thread(torch.get_num_threads) == 1  # torch's own rule
        assert in_new_thread(available_threads) == 3
    assert in_new_thread(torch.get_num_threads) == 3


def test_a_training_that_starts_during_another_restores_the_number_of_before():
    def train():
        with threads(2):
            inside = torch.get_num_threads()
        return inside, torch.get_num_threads()

    with threads(1):
        assert in_new_thread(train) == (2, 3)
        assert torch.get_num_threads() == 1
    assert in_new_thread(torch.get_num_threads) == 3


def test_a_number_that_a_thread_has_set_itself_is_kept():
    def set_two():
        torch.set_num_threads(2)
        return available_threads()

    with threads(1):
        assert in_new_thread(set_two) == 2
