"""The machine and its files: atomic writes, locks, signals, hardware, progress bars."""
