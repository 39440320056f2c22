"""One run over many inputs."""
