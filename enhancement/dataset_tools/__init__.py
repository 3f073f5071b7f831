"""Datasets looked over, divided, darkened and packed."""
