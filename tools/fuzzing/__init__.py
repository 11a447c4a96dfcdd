"""Inputs that nobody would write, made from seeds, and what reads them."""
