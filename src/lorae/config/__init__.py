"""Settings with their rules and defaults, and the table of methods. Imports no torch."""
