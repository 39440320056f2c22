"""`posecli doctor`: tests the installation on this machine."""

from __future__ import annotations

import json
import sys

import click

from posecli.commands.options import model_option


@click.command("doctor", context_settings={"max_content_width": 100})
@model_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(model: str | None, *, as_json: bool) -> None:
    """Test this installation: Python, packages, runtime, model, one inference. Nothing is downloaded.

    \b
    Examples:
      posecli doctor
      posecli doctor --model my_posenet.tflite --json

    Each line says ok, or what is wrong and how to fix it. If anything is wrong, the exit status is 3.
    """
    from posecli.checks.doctor import examine
    from posecli.run.report import EXIT_EXPECTATION, EXIT_OK

    findings = []
    for finding in examine(model):
        findings.append(finding)
        if not as_json:
            remedy = f": {finding.remedy}" if finding.remedy else ""
            click.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what:12}  {finding.found}{remedy}")
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    sys.exit(EXIT_OK if all(finding.ok for finding in findings) else EXIT_EXPECTATION)
