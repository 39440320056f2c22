"""From a picture to its record."""
