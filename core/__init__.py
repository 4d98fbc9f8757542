"""Everything that needs neither QGIS nor Qt: numpy, scipy and the standard library."""
