"""Records what the bundled weights draw, for the test that opens them: run it after the weights have changed.

`python tools/record_bundled.py` draws `tests/models/bundled/source.png` with PyTorch in fp32, writes the map
beside it, and the SHA-256 of the weights; and what they draw of the pattern that engines are verified with.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sat2map.inference.backends.auto import store_levels
from sat2map.inference.translator import Translator
from sat2map.models.model import Model

FOLDER = Path(__file__).parents[1] / "tests" / "models" / "bundled"


def main() -> None:
    """Draw the stored image and record the result."""
    model = Model.find()
    translator = Translator.open(model, engine="torch", device="cpu", precision="fp32")
    source = np.asarray(Image.open(FOLDER / "source.png"))
    Image.fromarray(translator(source)).save(FOLDER / "map.png", optimize=True)
    store_levels(model.path, translator.engine)
    (FOLDER / "sha256.txt").write_text(model.sha256 + "\n")


if __name__ == "__main__":
    main()
