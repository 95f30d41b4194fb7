"""The data contract, and the figures computed from it."""
