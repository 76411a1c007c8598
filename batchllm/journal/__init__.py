"""The output folder: append-only truth, a lock, repair after a crash, and the index that resume works from."""
