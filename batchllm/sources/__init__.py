"""Ways to read requests. A new one is a module here and a line in this table."""
