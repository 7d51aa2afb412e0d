"""What is measured, and against whom; each prints its figures, none of them is a test."""
