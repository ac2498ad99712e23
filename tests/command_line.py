"""The `cvhn-tf` command in this process, and what its failures look like."""

from typer.testing import CliRunner

from cvhn_tf_cli import commands


def run(*arguments, **options):
    return CliRunner().invoke(commands.app, [str(argument) for argument in arguments], **options)


def fails(result, exit_code, *parts):
    """Asserts one line on stderr that holds `parts`, and no traceback."""
    assert result.exit_code == exit_code, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    for part in parts:
        assert str(part) in lines[0]


def fails_at_last(result, *parts):
    """Asserts exit code 2 and one line about it at the end of stderr, where progress may stand before it."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    for part in parts:
        assert str(part) in line
