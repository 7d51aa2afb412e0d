"""Search: one box over all domains."""
