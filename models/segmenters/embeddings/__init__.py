"""Encoded windows, kept on disk and in memory for all engines."""
