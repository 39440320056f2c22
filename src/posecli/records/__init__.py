"""Records on disk: journals, parts and formats."""
