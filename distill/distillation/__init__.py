"""Teaches the student what labels and teachers know."""
