"""The overview: what all domains tell executives first."""
