"""One file for each outside system: how it is called, and how it is asked what became of a call."""
