"""Taking over the database and the users of the old referrals service."""
