"""The subcommands of `enhance`, one a file (enhancement/cli.py lists them)."""
