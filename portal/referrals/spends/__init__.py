"""What users spent, asked for by polls."""
