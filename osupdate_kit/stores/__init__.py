"""Ours on disk."""
