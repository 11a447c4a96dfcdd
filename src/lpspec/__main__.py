"""``python -m lpspec``: the same as ``lpspec``."""

from lpspec.cli.main import main

if __name__ == "__main__":
    main()
