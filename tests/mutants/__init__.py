"""Negative controls: known mistakes, each put into a copy of the package, and the tests that must notice it.

`table` lists them, `trial` carries one out. A mutant whose text is no longer found, or found twice, is an error: whoever
moved the code moves its mutant along.
"""
