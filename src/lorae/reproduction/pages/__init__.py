"""Pages of a study: blocks of text, tables and figures, rendered as Markdown and HTML."""
