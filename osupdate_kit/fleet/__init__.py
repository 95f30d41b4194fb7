"""Who we have, and whom we mean."""
