"""Command that prints how to cite the method and the package; CITATION.cff says the same in another format."""

import argparse
from collections.abc import Callable

from lorae import __version__
from lorae.cli.output import Output

BIBTEX = f"""@inproceedings{{mazumder2024learning,
  title         = {{Learning Low-Rank Latent Spaces with Simple Deterministic Autoencoder:
                   Theoretical and Empirical Insights}},
  author        = {{Mazumder, Alokendu and Baruah, Tirthajit and Kumar, Bhartendu and Sharma, Rishab and
                   Pattanaik, Vishwajeet and Rathore, Punit}},
  booktitle     = {{IEEE/CVF Winter Conference on Applications of Computer Vision (WACV)}},
  year          = {{2024}},
  eprint        = {{2310.16194}},
  archiveprefix = {{arXiv}}
}}

@misc{{lorae,
  title  = {{lorae: autoencoders that find their own latent dimension}},
  author = {{{{The lorae developers}}}},
  note   = {{Python package, version {__version__}}}
}}"""


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `add(name, function, meaning)` makes a subparser."""
    add("cite", _cite, "print BibTeX entries of the paper and of the package")


def _cite(_: argparse.Namespace) -> Output:
    return {"bibtex": BIBTEX}, [BIBTEX]
