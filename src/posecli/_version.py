"""The version of posecli. This file imports nothing, since the build reads the version from it."""

__version__ = "0.2.0"
