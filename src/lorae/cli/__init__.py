"""The command line: each command calls one function of the Python interface and prints its result."""

from lorae.cli.parser import build_parser, main

__all__ = ["build_parser", "main"]
