"""Evaluations as pytest cases: what is asked, and the outcome of a case."""
