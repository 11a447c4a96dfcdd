"""What every test runs under."""

import os

os.environ["LPSPEC_PRICES"] = "off"  # what an earlier run kept must not hide what this one does
