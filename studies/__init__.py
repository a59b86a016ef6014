"""Scripts that train and measure what `results/` records, and draw the tables and pictures of the pages from it."""
