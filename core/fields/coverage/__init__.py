"""From a raster of labels to polygons that share their edges."""
