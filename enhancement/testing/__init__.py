"""The command enhancement/test_from_dataset.py."""
