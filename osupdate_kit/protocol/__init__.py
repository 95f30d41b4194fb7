"""Apple's words, byte for byte."""
