"""Referrals: invitations, sign-ups, conditions, rewards, their review, and schemes with their budgets."""
