"""Runs the protocols of tuberculosis cohorts, and shows on planted effects that their figures are right."""
