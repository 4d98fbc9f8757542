"""Farm landscapes and image series of known truth, for the demo, tests and training."""
