"""What `make quickstart` and `make capsule-demo` run."""
