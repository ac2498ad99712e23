"""`python -m cvhn_tf_cli` is `cvhn-tf`."""

from cvhn_tf_cli.commands import main

main()
