"""The small widgets and the frame of a page, of which every screen is made."""
