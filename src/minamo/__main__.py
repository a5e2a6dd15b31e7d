"""`python -m minamo`."""

from minamo.cli.main import main

if __name__ == "__main__":
    main()
