"""What the vault and the records are sealed with."""
