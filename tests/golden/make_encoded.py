"""Make the golden encoded files of a new format version, once: what is there is never written over.

python tests/golden/make_encoded.py VERSION
"""

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]
import numpy as np  # noqa: E402
from encoded import SHARES, codes_for, header, write  # noqa: E402

from gan.coding.bitstream import Priors  # noqa: E402
from gan.coding.header import VERSION  # noqa: E402

HERE = Path(__file__).parent


def main() -> None:
    if sys.argv[1:] != [str(VERSION)]:
        sys.exit(f"name the version that is written now: {VERSION}")
    contents: dict[str, bytes] = {}
    expected: dict[str, object] = {"shares": [share.tolist() for share in SHARES]}
    for name, head, priors in (
        ("codes", header(), Priors(SHARES)),
        ("latents", header(codebooks=(), channels=1, samples=400), None),
    ):
        codes = codes_for(head, seed=7)
        contents[f"{name}_v{VERSION}.unshift"] = write(head, codes, priors)
        # Floats by their bits: text would round them.
        expected[name] = (codes if name == "codes" else codes.view(np.int32)).tolist()
    contents[f"encoded_v{VERSION}.json"] = (json.dumps(expected) + "\n").encode()
    for name in contents:
        if (HERE / name).exists():
            sys.exit(f"{name} is there: golden files are never made anew")
    for name, content in contents.items():
        (HERE / name).write_bytes(content)


if __name__ == "__main__":
    main()
