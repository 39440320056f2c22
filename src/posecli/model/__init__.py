"""Models: known models (`catalog`), finding and downloading files (`locate`, `sources`), reading and checking them
(`flatbuffer`, `graph`, `heads`), and running them (`runtime`)."""
