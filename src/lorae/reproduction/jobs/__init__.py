"""Jobs of a study: records on disk, and the processes that measure them."""
