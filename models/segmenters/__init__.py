"""Engines behind the Segmenter protocol and the registry that names them."""
