"""From a row of a table to lines of a job: templates, sweeps, samples."""
