"""One module per MDM server: its API and its webhook format together."""
