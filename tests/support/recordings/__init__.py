"""Runs of real commands, whose documents are the golden ones: see ``golden.py``."""
