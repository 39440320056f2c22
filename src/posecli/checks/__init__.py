"""What is computed from records and models, one file a command."""
