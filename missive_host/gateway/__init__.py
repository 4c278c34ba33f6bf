"""The gateway: the daemon that runs every enabled adapter, and whatever it takes in, to its end."""
