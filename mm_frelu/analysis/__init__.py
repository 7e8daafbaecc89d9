"""Analyse models and trainings: complexity, memory, time, and comparisons of activations."""
