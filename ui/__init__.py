"""What QGIS shows of Furrow beyond the Toolbox: the dock, the map tool, the settings page."""
