"""Read predictions of tools/test.py --out together with the test set that they belong to."""
