"""From an output folder to a flat table in the job's order. A fold over what runs have written; nothing there is changed."""
