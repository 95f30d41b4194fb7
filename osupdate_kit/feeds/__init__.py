"""Facts from elsewhere: Apple's release catalogue, inventory files."""
