"""Judges a bundle or a probe as a clinician-scientist would ask it to be judged, in JSON and on one page."""
