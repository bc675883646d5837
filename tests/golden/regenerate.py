"""Write the golden set anew from the code as it is: python tests/golden/regenerate.py.

The rows in study/ are frozen and stay as they are.
"""

import sys

from golden_files import HERE, table_csv, write_json, write_text


def main(here=HERE):
    """Write every stored file, and remove those that nothing stands for any more."""
    import golden_cases as cases

    for folder in ("tables", "checksums", "help", "printed"):
        for path in (here / folder).glob("*"):
            path.unlink()
    write_json("interface.json", cases.interface())
    write_json("explanations.json", cases.explanations())
    for name, make in cases.tables().items():
        write_text(f"tables/{name}.csv", table_csv(cases.computed(make)))
    for name, make in cases.CHECKSUMS.items():
        write_json(f"checksums/{name}.json", make())
    for name, text in cases.helps().items():
        write_text(f"help/{name}.txt", text)
    for name in cases.STUDY_TEXTS:
        write_text(f"printed/{name}.txt", cases.study_text(name))
        write_text(f"printed/{name}.csv", table_csv(cases.study_table(name)))
    sys.stdout.write(f"wrote {here}; look at git diff\n")


if __name__ == "__main__":
    main()
