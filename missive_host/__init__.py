"""missive: the place where messages for AI agents come in."""

__version__ = "0.1.0"
