"""What we intend, what happened, what it means."""
