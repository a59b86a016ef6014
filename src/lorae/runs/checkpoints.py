"""Files of tensors that are replaced as a whole."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lorae.system.files import write_atomically


def save_tensors_atomically(
    path: Path, state: Mapping[str, Any], digest: Callable[[bytes], bytes] | None = None
) -> None:
    """Write tensors and plain values so that a kill at any moment leaves the old file or the new one.

    path: the file; missing parent folders are made
    state: what `torch.load(path, weights_only=True)` can read
    digest: returns bytes that are written before the content, by which a reader detects damage; None writes no digest

    Raises LoraeError if the file cannot be written.
    """
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    content = buffer.getvalue()
    write_atomically(path, content if digest is None else digest(content) + content)
