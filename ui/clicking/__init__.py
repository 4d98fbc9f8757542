"""The map tool: from clicks to fields in a layer."""
