"""The field model that ships with the plugin."""
