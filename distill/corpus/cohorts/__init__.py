"""Reads data sets of coughs, breaths and blows from the layouts in which they are published."""
