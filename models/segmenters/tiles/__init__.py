"""Engines at work on the tiles of a scene, in this process or in others."""
