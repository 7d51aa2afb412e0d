"""How far referred users are: sign-ups, conditions, the fraud check and its review, the end."""
