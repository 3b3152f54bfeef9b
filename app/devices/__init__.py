"""The platform behind protocols, each with its desktop form."""
