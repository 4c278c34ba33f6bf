"""Credentials and what keeps them from being seen."""
