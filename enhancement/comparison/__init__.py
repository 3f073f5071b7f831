"""Runs side by side: tables, and one page."""
