"""What the application asks of the device it runs on, as protocols, and how each platform gives it."""
