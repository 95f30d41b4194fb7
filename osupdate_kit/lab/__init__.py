"""A simulated fleet that speaks Apple's protocol, its clock, and a local MDM server before it."""
