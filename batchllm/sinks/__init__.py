"""Ways to export records. A new one is a module here and a line in this table."""
