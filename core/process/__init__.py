"""Deals with what surrounds a running command: the terminal and signals."""
