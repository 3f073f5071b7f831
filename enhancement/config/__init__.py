"""Option files: read, inherited, checked whole, parsed."""
