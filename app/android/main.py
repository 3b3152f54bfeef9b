"""Starts the application on a phone; Kivy's bootstrap runs this file."""

from app.main import main

main([])
