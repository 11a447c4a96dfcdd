"""Products in PIM ranks: where weights and caches lie, the programs of tiles, and what they compute."""
