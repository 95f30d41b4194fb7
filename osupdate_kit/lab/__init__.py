"""A simulated fleet that speaks Apple's protocol, its virtual clock, and a local MDM server before it."""
