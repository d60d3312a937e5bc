"""`python -m numasim` is `numasim`."""

from numasim.cli.app import main

if __name__ == "__main__":
    main()
