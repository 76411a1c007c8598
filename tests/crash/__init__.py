"""Crash safety of the output folder, proved: scenes, lives of a run in them, and sweeps over every fault point.

`sweeps` holds plain callables that return counts; `test_*.py` here run a seeded share of them, `-m sweep` all.
"""
