"""Attacks on the trust that the kit is built on (docs/trust.md): strangers' bytes, signatures, slowness, text, secrets.

`python -m tests.attacks` runs the long ones by hand.
"""
