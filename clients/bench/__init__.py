"""`carousel bench`: how fast a server answers under load."""
