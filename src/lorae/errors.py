"""Exceptions and warnings of the package, and failures of models, which studies record."""


class LoraeError(Exception):
    """Something the user can mend: one line that names the value, what was expected, and where it came from."""


class DivergedError(LoraeError):
    """A training whose loss or weights are no longer finite."""

    outcome = "diverged"


class CollapsedError(LoraeError):
    """A model that maps all items to one latent, so that nothing can be fitted to its latents."""

    outcome = "collapsed"


# Results of a training, not mistakes of the user: a study records them under `outcome` and continues.
MODEL_FAILURES = (DivergedError, CollapsedError)


class LoraeWarning(UserWarning):
    """A result that may not mean what it seems to: one line with the numbers; the command line prints it as it is."""
