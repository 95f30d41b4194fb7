"""What all tests share: Hypothesis judges what is true, never how fast a loaded machine is."""

from hypothesis import HealthCheck, settings

settings.register_profile("kit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kit")
