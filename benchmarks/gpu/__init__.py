"""What one GPU does with this package, in a few minutes; see `__main__.py`."""
