"""`cvhn-tf doctor`: what an installation has and lacks."""

import typer

from cvhn_tf_cli.terminal import make_table, show


def doctor():
    """Show versions, devices and whether LiteRT runs; exit code 1 and a sentence for each problem."""
    from cvhn_tf_cli.work.doctor import diagnose

    findings = diagnose()
    table = make_table("", "", "found", "needed")
    for finding in findings:
        table.add_row(finding.name, finding.found, finding.needed, style="red" if finding.problem else None)
    show(table)
    problems = [finding.problem for finding in findings if finding.problem]
    for problem in problems:
        show(f"✗ {problem}")
    if problems:
        raise typer.Exit(1)
    show("✓ Everything that cvhn-tf needs is there and works.")
