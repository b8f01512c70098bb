"""`python -m warren`: the command line where the executable is not on the path."""

from warren.console.cli import main

if __name__ == "__main__":
    main()
