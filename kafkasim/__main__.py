"""`python -m kafkasim` is `kafkasim`."""

from kafkasim.cli import main

if __name__ == "__main__":
    main()
