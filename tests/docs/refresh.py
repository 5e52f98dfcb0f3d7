"""Writes every generated part of the documentation anew, and the picture.

    python tests/docs/refresh.py

Run it when a scenario, a number, an import or a shortcut has changed, and read what `git diff` shows before you commit it.
"""

from __future__ import annotations

from blocks import BLOCKS, PICTURE, ROOT, STUDY_PICTURES, output, study, study_picture_path, with_block


def main() -> None:
    """Each block from its command, then the picture of the README."""
    for (path, name), write in BLOCKS.items():
        file = ROOT / path
        before = file.read_text(encoding="utf-8")
        after = with_block(before, name, write())
        file.write_text(after, encoding="utf-8")
        print(f"{path}: {name} {'is as it was' if after == before else 'has changed'}")
    output("run", "zombie-leader", "--plot", PICTURE)
    print(f"{PICTURE}: drawn")
    for kind in STUDY_PICTURES:
        (ROOT / study_picture_path(kind)).write_bytes(study(kind)[1])
        print(f"{study_picture_path(kind)}: drawn")


if __name__ == "__main__":
    main()
