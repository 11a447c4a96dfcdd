"""LPDDR5 at command level: plain DRAM and PIM ranks on one channel, and the near-data memory controller before them."""
