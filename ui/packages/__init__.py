"""The dialog that installs, checks and removes Python packages."""
