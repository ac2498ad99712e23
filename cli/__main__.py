"""`python -m cvhn_tf_cli` is `cvhn-tf`."""

import sys

_NEEDED = ("rich", "typer")


def main():
    """Entry point of the `cvhn-tf` command, which says so where it lacks what it is made of."""
    try:
        from cvhn_tf_cli import commands
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        sys.exit(f"Error: Expected {error.name}. Received: no {error.name}. Install by: pip install {error.name}")
    commands.main()


if __name__ == "__main__":
    main()
