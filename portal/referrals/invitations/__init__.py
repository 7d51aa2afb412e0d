"""Invitations: their mails and links, and sending them again."""
