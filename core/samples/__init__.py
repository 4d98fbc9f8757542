"""Crop samples: profiles, gap filling, distances, cleaning and generation."""
