"""`python -m drivefs` is the command `drivefs`."""

from drivefs.cli.main import main

if __name__ == "__main__":
    main()
