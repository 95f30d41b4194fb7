"""What the kit costs, as ratios to a limit measured in the same run. `python -m benchmarks [--quick] [name …]`."""
