"""Predictions that tools/test.py --out wrote, read again beside the test set that they were made on."""
