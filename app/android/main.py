"""Starts the application on a phone; Kivy's bootstrap runs this file."""

from app.main import main

if __name__ == "__main__":
    main([])
