"""HTML reports and run records."""
