"""The rules of the house: each finds what breaks it, and says how to mend that."""
