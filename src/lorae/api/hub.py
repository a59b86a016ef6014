"""Models on the Hugging Face Hub, and in folders of the same files: weights, spec and card, no code and no pickle."""

import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lorae.api.export import deployable, write_pretrained
from lorae.api.loading import as_run
from lorae.errors import LoraeError
from lorae.extras import import_extra
from lorae.runs.model_files import read_model
from lorae.runs.run import Run
from lorae.system.faults import reason_of
from lorae.system.files import home_expanded

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from lorae.models.autoencoder import Autoencoder

# All that is ever downloaded.
FILES = ("model.json", "model.safetensors")


def push_to_hub(
    run: "str | Path | Run",
    repo_id: str,
    *,
    rank: int | None = None,
    private: bool | None = None,
    revision: str | None = None,
    message: str = "Upload a model of lorae",
    token: str | None = None,
    data: "str | Path | NDArray[Any] | None" = None,
) -> str:
    """Upload the model of a run to the Hugging Face Hub, as `export_run` writes it: weights, `model.json`, model card.

    Items of the data, statistics and figures stay here. The model card replaces a `README.md` of the repository, whose
    history keeps it.

    Parameters
    ----------
    run : str | Path | Run
        A finished run.
    repo_id : str
        Repository, `OWNER/NAME`, which is made if it does not exist.
    rank : int, default=None
        Number of axes, as in `truncate`.
    private : bool, default=None
        Whether a new repository is private; None takes the default of its owner.
    revision : str, default=None
        Branch, which is made if it does not exist; None takes the main one.
    message : str, default="Upload a model of lorae"
        Message of the commit.
    token : str, default=None
        Access token; None takes that of `hf auth login` or of HF_TOKEN.
    data : str | Path | ndarray, default=None
        Where the data are now if they were moved, as in `export_run`.

    Returns
    -------
    str
        Address of the commit.

    Raises
    ------
    LoraeError
        If huggingface_hub is missing, the rank does not fit, or the upload fails.

    Examples
    --------
    >>> push_to_hub("runs/demo", "me/digits", private=True)   # doctest: +SKIP
    'https://.../me/digits/commit/0a1b2c...'
    """
    hub, run = _hub(), as_run(run)
    model = deployable(run, rank, data)
    with tempfile.TemporaryDirectory(prefix="lorae-") as name:
        write_pretrained(run, model, Path(name), cut=rank is not None, source=repo_id)
        try:
            api = hub.HfApi(token=token)
            api.create_repo(repo_id, private=private, exist_ok=True)
            if revision is not None:
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            commit = api.upload_folder(repo_id=repo_id, folder_path=name, commit_message=message, revision=revision)
        except Exception as error:  # of the network, of HTTP, and of names, of many kinds
            raise LoraeError(f"repo_id: cannot upload to {repo_id!r}: {reason_of(error)}") from None
    return str(commit.commit_url)


def from_pretrained(
    repo_id_or_path: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    encoder: "nn.Module | None" = None,
    decoder: "nn.Module | None" = None,
) -> "Autoencoder":
    """Load a model from the Hugging Face Hub, or from a folder that `export_run` wrote, or of a run.

    Only `model.json` and `model.safetensors` are downloaded and read: no code is executed, and no pickle. Sizes that do
    not fit the weights are refused before memory is taken for them.

    Parameters
    ----------
    repo_id_or_path : str or Path
        Folder, or repository `OWNER/NAME`.
    revision : str, default=None
        Branch, tag or hash of a commit; a hash always gives the same model. None takes the main branch.
    token : str, default=None
        Access token for a private repository; None takes that of `hf auth login` or of HF_TOKEN.
    encoder, decoder : torch module, default=None
        For a model of networks of your own: modules of the structure that was trained.

    Returns
    -------
    Autoencoder
        On the CPU, in evaluation mode. It takes items of its own shape, `model.spec.shape`.

    Raises
    ------
    LoraeError
        If huggingface_hub is missing, the repository cannot be read, or its files are not those of a model.

    Examples
    --------
    >>> model = from_pretrained("me/digits", revision="v1.0")   # doctest: +SKIP
    >>> model.decode(model.encode(images))                      # doctest: +SKIP
    """
    from lorae.models.own_networks import OwnNetworks

    folder = home_expanded(repo_id_or_path)
    if not folder.is_dir():
        folder = _downloaded(str(repo_id_or_path), revision, token)
    elif revision is not None:
        raise LoraeError(f"revision: got {revision!r}, but {str(folder)!r} is a folder, which has no revisions")
    if not (folder / "model.json").is_file():
        raise LoraeError(f"model: {str(repo_id_or_path)!r} has no model.json, expected the files {' and '.join(FILES)}")
    networks = None if encoder is None and decoder is None else OwnNetworks.from_modules(encoder, decoder)
    model = read_model(folder, "export or download it anew", networks)
    if networks is not None and model.spec.own is None:
        raise LoraeError(
            f"encoder: the model has the network {model.spec.network!r} of this package, and takes no other"
        )
    return model


def _downloaded(repo_id: str, revision: str | None, token: str | None) -> Path:
    """Return the folder of the files of a repository, in the cache of huggingface_hub."""
    if Path(repo_id).exists() or len(Path(repo_id).parts) != 2 or repo_id.startswith((".", "~")):
        raise LoraeError(f"model: got {repo_id!r}, expected a folder with {' and '.join(FILES)}, or OWNER/NAME")
    hub = _hub()
    try:
        return Path(hub.snapshot_download(repo_id, revision=revision, token=token, allow_patterns=list(FILES)))
    except Exception as error:  # of the network, of HTTP, and of names, of many kinds
        at = "" if revision is None else f" at {revision!r}"
        raise LoraeError(f"model: cannot download {repo_id!r}{at}: {reason_of(error)}") from None


def _hub() -> ModuleType:
    found: ModuleType = import_extra("huggingface_hub", "hub")
    return found
