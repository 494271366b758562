"""Measures of one clip, of many clips, and the intervals of their means."""
