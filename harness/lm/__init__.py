"""Steering inside lm-eval."""
