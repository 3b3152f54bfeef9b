"""Serves the coordinator of a study at a workstation; nothing of it goes onto a phone."""
