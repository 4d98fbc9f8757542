"""Rasters, dated series, quality masks, composites and spectral indices."""
