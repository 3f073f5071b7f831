"""Option files: read, inherited, checked and parsed."""
