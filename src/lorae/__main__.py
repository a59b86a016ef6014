"""`python -m lorae` and the command `lorae`."""

import sys


def main() -> int:
    """Run the command line; an interrupt while it is imported, which takes a moment, is one line too."""
    try:
        from lorae.cli.parser import main as run
    except KeyboardInterrupt:
        print("lorae: interrupted before anything was stored; run the command again", file=sys.stderr)
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
