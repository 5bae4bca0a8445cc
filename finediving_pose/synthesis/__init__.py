"""Invented divers with known truth."""
