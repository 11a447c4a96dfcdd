"""Compiled loops for decoding few tokens on a CPU; the rest of the decoder reaches them by ``backend`` alone."""
