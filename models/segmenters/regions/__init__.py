"""The classical engine: regions of a picture at several scales, no network."""
