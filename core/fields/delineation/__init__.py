"""All fields of a scene: rounds within tiles, and tiles joined at their seams."""
