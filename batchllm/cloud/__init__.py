"""Jobs, tables and results in object storage. The journal itself never is: it stays on a local disk and is shipped from there."""
