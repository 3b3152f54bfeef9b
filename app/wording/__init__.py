"""The words for codes of recordings and of people, looked up when they are shown."""
