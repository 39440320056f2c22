"""Local and remote files, atomic writing, locks, and posecli's child processes."""
