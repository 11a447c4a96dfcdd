"""Training of the demo model, by the steps that ``tools/train_demo.py`` takes."""
