"""What people touch: the commands, and nothing but argument handling."""
