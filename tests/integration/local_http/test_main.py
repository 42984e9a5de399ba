from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import boto3
import pytest

from ecrkit.local import LocalServer
from ecrkit.local.__main__ import main


class TestProcess:
    """`python -m ecrkit.local` says how to reach it, serves, and ends on SIGINT and SIGTERM with 0."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_serve_and_stop(self, number: signal.Signals):
        command = [
            sys.executable,
            "-m",
            "ecrkit.local",
            "--port",
            "0",
            "--account",
            "111122223333",
            "--region",
            "eu-west-1",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                shown = "".join(iter(process.stdout.readline, "Stop with Ctrl-C.\n"))
                found = re.search(r"export AWS_ENDPOINT_URL_ECR=(\S+)\n", shown)
                assert found is not None and "AWS_DEFAULT_REGION=eu-west-1" in shown
                ecr = boto3.client("ecr", endpoint_url=found[1], region_name="eu-west-1")
                made = ecr.create_repository(repositoryName="app")["repository"]
                assert made["repositoryArn"] == "arn:aws:ecr:eu-west-1:111122223333:repository/app"
                os.kill(process.pid, number)
                rest, errors = process.communicate(timeout=30)
            finally:
                process.kill()
        assert (process.returncode, rest, errors) == (0, "stopped\n", "")

    def test_a_port_taken(self, server: LocalServer, capsys: pytest.CaptureFixture[str]):
        assert main(["--port", str(server.port)]) == 2
        shown = capsys.readouterr()
        assert shown.out == "" and f"cannot listen on 127.0.0.1:{server.port}: Address already in use" in shown.err

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--port", "70000"], "'70000' is no port number"),
            (["--port", "http"], "'http' is no port number"),
            (["--account", "12"], "'12' is no account id"),
            (["--region", "Europe"], "'Europe' is no region"),
        ],
    )
    def test_bad_arguments(self, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2 and said in capsys.readouterr().err
