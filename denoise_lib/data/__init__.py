"""Recordings as clips in fixed splits: where they come from, how they are read, crops of them.

Knows no kind of damage: it takes one as a callable, (waveform, generator) -> waveform.
"""
