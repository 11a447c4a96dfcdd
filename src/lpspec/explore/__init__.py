"""Many scenarios: which points a study has, where their results are kept, and who computes them."""
