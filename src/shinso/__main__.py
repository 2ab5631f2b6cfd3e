"""`python -m shinso` is the command `shinso`."""

from shinso.cli.main import main

if __name__ == "__main__":
    main()
