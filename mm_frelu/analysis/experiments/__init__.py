"""Comparisons of trainings: their settings, their execution, and tables and pictures of the results."""
