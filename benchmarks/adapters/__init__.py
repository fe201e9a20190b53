"""One module a peer: it loads the star and compiles the question, in an environment where only that peer is installed.

`python -m benchmarks.adapters.NAME CALLS FIRST` prints what `meter.measure` found, as JSON.
"""
