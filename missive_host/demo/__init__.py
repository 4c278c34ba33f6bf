"""Small real A2A agents: what ``missive demo`` talks to, and what the tests use as their other side."""
