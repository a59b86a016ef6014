"""The one exception that users are meant to see."""


class LoraeError(Exception):
    """Something the user can mend: one line that names the value, what was expected and where it came from.

    The command line prints it without a traceback and exits with code 2.
    """
