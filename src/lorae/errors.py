"""The exception and the warning that users of the package have to know, and divergence, which studies tell apart."""


class LoraeError(Exception):
    """Something the user can mend: one line that names the value, what was expected, and where it came from."""


class DivergedError(LoraeError):
    """Training has come to a loss or weights that are not finite."""


class LoraeWarning(UserWarning):
    """A result that may not mean what it seems to: one line with the numbers; the command line prints it as it is."""
