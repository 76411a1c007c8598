"""What people otherwise script around JSONL files: one line at a time, from a file or a pipe, into a file or a pipe."""
