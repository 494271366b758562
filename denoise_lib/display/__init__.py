"""What a notebook shows: figures, tables, verdicts, players.

Knows names and colours, no network.
"""
