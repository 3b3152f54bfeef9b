"""The widgets: the only part of the app that knows Kivy."""
