"""What kind of field is it? Features of a field's own pixels, a forest, and how good it is."""
