"""Select Apple devices, issue ScheduleOSUpdate, follow every device to proof, and report."""

__version__ = "0.1.0"
