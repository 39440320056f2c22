"""Records on disk: journal, parts, formats."""
