"""The manager of segmentation models."""
