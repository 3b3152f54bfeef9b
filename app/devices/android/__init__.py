"""How Android gives what the application asks of its device."""
