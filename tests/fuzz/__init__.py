"""Foreign bytes into everything that reads them: whatever comes, what comes out is one of the things that were agreed on.

`targets` names the readers and what they may give back, `corpus` holds real input, `mutation` bends it,
`campaign` counts what was tried: `fuzz(seconds, seed)` gives executions and crashes for each target.
"""
