import hashlib

import torch

from lorae.runs.model_files import save_tensors_atomically


def test_tensors_and_values_are_read_back(tmp_path):
    path = tmp_path / "new folder" / "state.pt"
    for step in (1, 2):
        save_tensors_atomically(path, {"weights": torch.arange(3.0), "step": step})
    state = torch.load(path, weights_only=True)
    assert (state["step"], state["weights"].tolist()) == (2, [0.0, 1.0, 2.0])
    assert [file.name for file in path.parent.iterdir()] == ["state.pt"]


def test_a_digest_comes_before_the_content(tmp_path):
    save_tensors_atomically(tmp_path / "state", {"step": 3}, digest=lambda content: hashlib.md5(content).digest())
    content = (tmp_path / "state").read_bytes()
    assert content[:16] == hashlib.md5(content[16:]).digest()
