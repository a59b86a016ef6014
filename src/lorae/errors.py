"""The one exception and the one warning that users of the package have to know."""


class LoraeError(Exception):
    """Something the user can mend: one line that names the value, what was expected, and where it came from."""


class LoraeWarning(UserWarning):
    """A result that may not mean what it seems to: one line with the numbers; the command line prints it as it is."""
