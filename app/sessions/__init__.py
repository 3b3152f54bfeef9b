"""Parts of the sessions that record and watch: where they stand, and how the main thread is told."""
