"""Files of weights: written whole, read safely, recognised."""
