"""A Batch API in front of any endpoint: files and batches kept beside a SQLite book, each batch run by the same pipeline.

turnstile   who goes next: live requests, then tenants and their batches in turn, over one throttle and one transport
store       the book: files and batches, in one thread, every acceptance forced to disk
work        one batch from validating to its files; floor: which batches run, cancelling, expiry, the drain
app         the HTTP surface; errors in the API's own shape
"""
