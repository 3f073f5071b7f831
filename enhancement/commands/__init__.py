"""The subcommands of `enhance`, one a file (main.py lists them)."""
