"""Servers that are started for a run: what the settings say of one, its life, and the process that keeps it."""
