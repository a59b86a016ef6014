"""An explorer of a trained run in the browser: a small server, its pages, and a session that computes what they show.

The package itself imports neither torch nor the web server.
"""

from lorae.explorer.server import explore

__all__ = ["explore"]
