"""The job through the provider's own Batch API: half the price, for those who may wait a day.

services   what each provider's Batch API takes      remote     that API, by the official client
sheets     lines put together into upload files      returns    what came back, line by line
prices     batch prices                              timing     when to look again, when to go live
lane       the engine                                auto       batches first, the rest live before the deadline
"""
