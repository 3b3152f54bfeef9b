"""The networks and their front ends."""
