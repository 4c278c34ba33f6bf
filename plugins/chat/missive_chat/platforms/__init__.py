"""One module a platform: it translates, and no more."""
