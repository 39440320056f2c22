"""Arguments become inputs, bytes become pictures, clips become frames."""
