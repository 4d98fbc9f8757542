"""Published checkpoints, run by torch in a child process."""
