"""The chart of the season at a place."""
