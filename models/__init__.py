"""What holds weights or rules: segmentation engines and their registry."""
