"""Jobs of a study: their records on disk, and the processes that measure them."""
