"""Offering referrals to a part of the users, and what that shows."""
