"""One notebook over a grid of parameters and seeds: runs on many processes, and their comparison.

Knows the runner of the report and the intervals of the study.
"""
