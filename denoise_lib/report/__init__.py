"""From notebooks to the page: run them, collect what they left, set it.

Knows notebooks, never networks.
"""
