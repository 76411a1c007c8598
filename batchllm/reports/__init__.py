"""Folds over the journal: what a run came to, as files and as text."""
