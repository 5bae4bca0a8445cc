"""Labelling by several people: who labels what, what is doubtful, how far they agree,
what was decided."""
