"""Field masks: the segmenter protocol, prompts and what is done with masks."""
