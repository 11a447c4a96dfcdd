"""The decode loop: draft, prune, allocate, verify, accept."""
