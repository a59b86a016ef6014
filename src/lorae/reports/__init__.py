"""HTML pages and tables written from run folders. Imports no torch."""
