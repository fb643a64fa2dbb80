"""A comparison: its arms, its grid of measurements, its records."""
