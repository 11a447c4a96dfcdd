"""Questions asked of the simulator: compare systems, reproduce the paper."""
