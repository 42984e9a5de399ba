"""Benchmarks, as ratios of two ways in one run. `python -m benchmarks` runs all, `python -m benchmarks import` one."""
