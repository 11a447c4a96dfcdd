"""Latency and energy of one operator on one device."""
