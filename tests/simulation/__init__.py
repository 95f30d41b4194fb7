"""Deterministic simulation: one seed decides devices, plan, people, network, crashes and clock. Nothing waits.

`scenario` draws a story from its seed, `faults` breaks things, `run` lets the service's turns live through it over the
real store and the real adapter, `checks` holds what must always be true. `python -m tests.simulation SEED` replays one.
"""
