"""What the notebooks have in common: experiments, their results, and the questions asked of them.

Knows networks, never the page."""
