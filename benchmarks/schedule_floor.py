"""The least that a pipeline can do: inflate the files that it changes, deflate them again, write all to a file.

Not a benchmark of its own: ``schedule_pipeline.py`` measures it beside the others.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

from zlib_ng import zlib_ng

LEVEL = 6


def main(source: str, made: str, names: list[str]) -> None:
    pieces = []
    with zipfile.ZipFile(source) as archive:
        data = Path(source).read_bytes()
        for entry in archive.infolist():
            # Past the member's own header, whose name and extra field may differ from the directory's.
            lengths = data[entry.header_offset + 26 : entry.header_offset + 30]
            start = (
                entry.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            )
            packed = data[start : start + entry.compress_size]
            if entry.filename in names:
                text = zlib_ng.decompress(packed, -zlib_ng.MAX_WBITS, entry.file_size)
                packer = zlib_ng.compressobj(LEVEL, zlib_ng.DEFLATED, -zlib_ng.MAX_WBITS)
                packed = packer.compress(text) + packer.flush()
                zlib_ng.crc32(text)
            pieces.append(packed)
    Path(made).write_bytes(b"".join(pieces))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
