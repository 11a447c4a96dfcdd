"""A local page to play with: sliders for machine, model and workload, and figures that follow."""
