"""Jobs of a service that is killed: each is done, or was interrupted and runs when sent again."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from benchmarks.killed_processes import COMMAND, LONGEST, Scenario, environment, processes_left

INTERRUPTED = "/problems/interrupted"
ENDED = ("done", "failed", "cancelled")


class JobScenario(Scenario):
    """A job of a service, which is killed while the job runs and started again with the same state.

    The service that is started after a kill is the one that the next kill meets.
    """

    def __init__(self, name: str, data: Path) -> None:
        """Start a service."""
        super().__init__(name, data)
        self._folder = data.parent / "service"
        self._folder.mkdir()
        self._body = (data / "large.tif").read_bytes()
        self._begin()

    def undisturbed(self, folder: Path) -> tuple[float, dict[str, str]]:
        """Run a job without a kill; return how long it took, and the outputs."""
        start = time.monotonic()
        job = self._send()
        self._wait(job)
        took = time.monotonic() - start
        return took, self._take_result(job) | self._files_left()

    def disturbed(self, folder: Path, moment: float) -> tuple[str, dict[str, str]]:
        """Kill some time after a job was sent; return what the job says after a restart, and the outputs."""
        job = self._send()
        time.sleep(moment)
        self._process.kill()
        self._process.wait()
        left = processes_left(self._process)
        self._begin()
        found = self._wait(job)
        how = str(found["state"])
        if how == "failed" and (found.get("error") or {}).get("type") == INTERRUPTED:
            how = "interrupted, and sent again"
            ask(f"{self._url}/v1/jobs/{job}", "DELETE")
            job = self._send()
            found = self._wait(job)
        if found["state"] != "done":
            return how, {"result": json.dumps(found.get("error"))} | left
        return how, self._take_result(job) | self._files_left() | left

    def close(self) -> None:
        """Stop the service."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def _begin(self) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, "serve", "--state", str(self._folder / "state"), "--port", "0"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
            env=environment(self._folder),
        )  # fmt: skip
        assert self._process.stdout is not None
        line = next((line for line in self._process.stdout if " at http" in line), None)
        if line is None:
            raise SystemExit("the service did not start")
        self._url = line.split(" at ")[1].split()[0].rstrip("/")

    def _send(self) -> str:
        return str(json.loads(ask(f"{self._url}/v1/jobs", "POST", self._body))["id"])

    def _wait(self, job: str) -> dict[str, Any]:
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            found: dict[str, Any] = json.loads(ask(f"{self._url}/v1/jobs/{job}"))
            if found["state"] in ENDED:
                return found
            time.sleep(0.1)
        raise SystemExit(f"the job {job} did not end within {LONGEST:.0f} s")

    def _take_result(self, job: str) -> dict[str, str]:
        """Return the checksum of a job's result, and delete the job."""
        result = ask(f"{self._url}/v1/jobs/{job}/result")
        ask(f"{self._url}/v1/jobs/{job}", "DELETE")
        return {"result": hashlib.sha256(result).hexdigest()}

    def _files_left(self) -> dict[str, str]:
        """Return the files besides the database, when there is no job."""
        files = (path for path in sorted(self._folder.rglob("*")) if path.is_file())
        return {
            str(path.relative_to(self._folder)): "left"
            for path in files
            if not path.name.startswith("jobs.sqlite")
        }


def ask(address: str, method: str = "GET", body: bytes | None = None) -> bytes:
    """Send a request, and return the body of the answer; a service that is busy is asked again."""
    for _ in range(50):
        try:
            with urlopen(Request(address, data=body, method=method), timeout=60) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            if error.code != 503:
                raise SystemExit(f"{address}: {error.code} {error.read().decode()}") from None
        except URLError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{address} did not answer")
