"""The choice between a kernel and matrix products for polar factors, without a GPU; `test_gpu.py` runs both."""

import sys
import types

import pytest
import torch

from lorae.errors import LoraeWarning
from lorae.linalg import polar


@pytest.fixture
def gpu(monkeypatch):
    """A CPU that passes for a GPU with Triton."""
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(polar, "version", lambda name: "3.6.0")
    monkeypatch.setattr(polar, "_tried", {})
    return torch.device("cpu")


def kernel(monkeypatch, function):
    module = types.ModuleType("lorae.linalg.polar_kernel")
    vars(module)["run_polar_kernel"] = function
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize("width", [1, 2, 40])
def test_a_kernel_that_gives_the_known_factor_is_used_and_tried_once(width, gpu, monkeypatch):
    calls = []
    products = polar.polar_factor
    kernel(monkeypatch, lambda matrix, quintics: calls.append(len(matrix)) or products(matrix))
    assert polar._kernel_works(gpu, width)
    assert polar._kernel_works(gpu, width)
    assert calls == [width]


def test_a_kernel_with_another_factor_is_not_used(gpu, monkeypatch):
    kernel(monkeypatch, lambda matrix, quintics: (matrix.sum(), matrix))
    assert not polar._kernel_works(gpu, 40)


def test_a_kernel_that_cannot_be_built_is_said_once_with_the_way_out(gpu, monkeypatch):
    def build(matrix, quintics):
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")

    kernel(monkeypatch, build)
    with pytest.warns(
        LoraeWarning, match=r"width 40 .* \(RuntimeError: Failed to find C compiler\.\).*C compiler"
    ) as seen:
        assert not polar._kernel_works(gpu, 40)
    assert len(seen) == 1
    assert not polar._kernel_works(gpu, 40)  # without another warning, which would be an error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("get_device_capability", lambda device: (7, 5)),
        ("version", lambda name: "3.2.0"),
    ],
)
def test_an_older_gpu_or_triton_uses_matrix_products(name, value, gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda if hasattr(torch.cuda, name) else polar, name, value)
    kernel(monkeypatch, lambda matrix, quintics: pytest.fail("built"))
    assert not polar._kernel_works(gpu, 40)


def test_a_recording_uses_what_was_tried_before_it(gpu, monkeypatch):
    kernel(monkeypatch, lambda matrix, quintics: (matrix.trace(), torch.eye(len(matrix))))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert not polar._kernel_works(gpu, 40)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert polar._kernel_works(gpu, 40)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert polar._kernel_works(gpu, 40)
