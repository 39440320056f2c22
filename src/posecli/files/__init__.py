"""Files wherever they are, whole or absent; processes of our own."""
