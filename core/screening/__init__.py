"""Takes sound from standard input and keeps on disk what is found, for ``tussis-screen``."""
