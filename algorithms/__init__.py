"""QGIS Processing algorithms: parameters in, core called, sinks out."""
