"""The only bridge between QGIS objects and numpy."""
