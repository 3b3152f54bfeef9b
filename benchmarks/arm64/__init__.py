"""The shipped model on emulated ARM64 processors."""
