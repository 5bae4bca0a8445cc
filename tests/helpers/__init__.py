"""Inputs that tests make, and checks that several of them share."""
