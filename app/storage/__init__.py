"""The file of the records, below what they mean."""
