"""The long-running process, as turns."""
