"""The model's file: where it is (`catalog`), what is in it (`flatbuffer`, `graph`), running it (`runtime`)."""
