"""Trainings that are compared: what differs between them, running them, and the tables and pictures of the outcome."""
