"""The config of a run, with networks of the user: `network/` has their files, `config.json` their hashes."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.documentation import OWN_CODE, see
from lorae.errors import LoraeError
from lorae.runs.schema import Config, write_record
from lorae.system.files import read_file, write_atomically
from lorae.system.records import check_type

if TYPE_CHECKING:
    from lorae.models.own_networks import OwnNetworks

FOLDER = "network"


def write_config(folder: Path, config: Config, networks: "OwnNetworks | None" = None) -> None:
    """Write the `config.json` of a run folder, and the files of the user's networks."""
    write_record(folder / "config.json", config)
    write_networks(folder, networks)


def write_networks(folder: Path, networks: "OwnNetworks | None") -> None:
    """Copy the files of networks into a run folder."""
    for name, content in ({} if networks is None else networks.contents).items():
        write_atomically(folder / FOLDER / name, content)


def open_networks(folder: Path, config: Config, modules: tuple[Any, Any], *, trust_code: bool) -> "OwnNetworks | None":
    """Return the networks of a run, from modules or from its trusted file; None for a built-in network.

    Raises LoraeError where neither is given, and for a file that is not the one of the training.
    """
    from lorae.models.own_networks import NetworkSource, OwnNetworks

    record, given = config.get("network"), modules != (None, None)
    if record is None:
        if given:
            raise LoraeError(f"encoder: {str(folder)!r} has a built-in network, {config['settings']['network']!r}")
        return None
    if given:
        return OwnNetworks.from_modules(*modules)
    check_type(record, NetworkSource, folder / "config.json: network")
    source = NetworkSource(**record)
    owned = f"run: {str(folder)!r} has networks of your own ({source.name})"
    if source.built_by is None:
        raise LoraeError(f"{owned}, given as modules; open it with modules of that structure: encoder= and decoder=")
    if not trust_code:
        raise LoraeError(
            f"{owned}; pass encoder= and decoder=, or trust_code=True to import the file in its folder {FOLDER}/, "
            f"which can do anything that you can{see(OWN_CODE)}",
            settings={"trust_code": True},
        )
    ((file, digest),) = source.files.items()
    return OwnNetworks.from_content(file, _read(folder, file, digest), source.built_by)


def _read(folder: Path, name: str, digest: str) -> bytes:
    """Return the content of a file of the user's networks in a run folder; LoraeError unless it has the digest."""
    path = folder / FOLDER / name
    try:
        # A record of a stranger's run may name a file elsewhere.
        content = read_file(path) if Path(name).name == name else b""
    except OSError as error:
        raise LoraeError(f"{path}: cannot be read: {error.strerror}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise LoraeError(
            f"{path}: has SHA-256 {found[:12]}, expected {digest[:12]} (from {folder / 'config.json'}): it has changed "
            "since the training; restore it, or pass encoder= and decoder="
        )
    return content
