"""Metrics, named protocols, and the scores that they give."""
