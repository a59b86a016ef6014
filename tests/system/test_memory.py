"""The memory of the machine, and numbers of items that do not fit in it."""

from pathlib import Path

import pytest

import lorae
from lorae.errors import LoraeError
from lorae.system import hardware
from lorae.system.faults import reason_of


def test_the_memory_is_that_of_the_machine_or_its_container(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    real = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, *a, **k: real(limit if path.name == "memory.max" else path))
    whole = hardware.memory()
    assert whole is not None
    assert 2**28 < whole < 2**50
    for text, expected in (("268435456\n", 2**28), ("max\n", whole), (f"{2**60}\n", whole)):
        limit.write_text(text)
        assert hardware.memory() == expected


def test_a_system_that_does_not_say_its_memory_has_no_number(monkeypatch):
    monkeypatch.delattr("os.sysconf")
    assert hardware.memory() is None


def test_samples_beyond_the_memory_are_refused_before_they_are_drawn(trained, monkeypatch, run_cli):
    code, output, error = run_cli("sample", trained.path, "-n", 10**12)
    assert (code, output) == (2, "")
    assert error.startswith("lorae: n: got 1000000000000, which needs ")
    assert "GiB of memory; draw fewer at a time" in error
    assert error.count("\n") == 1
    monkeypatch.setattr(hardware, "memory", lambda: 10 * 8 * (8 + 16 * 16) - 1)
    with pytest.raises(LoraeError, match="n: got 10, which needs 0 GiB"):
        lorae.sample(trained, 10)


def test_the_size_of_an_array_that_torch_cannot_have_is_said_plainly():
    error = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
    )
    assert reason_of(error) == "an array of 3,725.3 GiB"
