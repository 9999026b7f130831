#!/usr/bin/env python3
"""readme - run what a page tells its readers to type, and compare what it says they will see

    readme FILE [--root] [--print]

Blocks that begin with

    ```sh try           are run, one after the other, in one shell
    ```sh try root      the same, with --root only
    ```text             directly behind such a block: the output that it must have. A line
                        "..." stands for any number of lines, "..." within a line for any text,
                        and runs of blanks are equal

Exit status 1 when a block fails or prints something else. --print shows what was printed, for
writing the page.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^```sh try( root)?\n(.*?)^```\n(?:\n?```text\n(.*?)^```\n)?", re.S | re.M)


def blocks(path, root):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for m in BLOCK.finditer(text):
        line = text.count("\n", 0, m.start()) + 1
        if not m.group(1) or root:
            yield line, m.group(2), m.group(3)


def pattern(expected):
    """A regular expression for the output."""
    out = []
    for line in expected.rstrip("\n").split("\n"):
        if line.strip() == "...":
            out.append(r"(?:.*\n)*?")
            continue
        words = [re.escape(w).replace(re.escape("..."), ".*") for w in line.split()]
        out.append(r"[ \t]*" + r"[ \t]+".join(words) + r"[ \t]*\n")
    return re.compile("".join(out) + r"\Z")


def run(parts, where):
    """One shell for all of them, so that a directory or a job of one is there in the next."""
    script = ["set -eu"]
    for i, (_, commands, _) in enumerate(parts):
        script += [f"{{\n{commands}\n}} >{where}/{i} 2>&1 </dev/null", f": >{where}/{i}.done"]
    return subprocess.run(["sh", "-c", "\n".join(script)], check=False).returncode


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--root", action="store_true")
    parser.add_argument("--print", action="store_true")
    args = parser.parse_args()
    parts = list(blocks(args.file, args.root))
    if not parts:
        sys.exit(f"{args.file}: nothing to try in it")
    wrong = 0
    with tempfile.TemporaryDirectory() as where:
        status = run(parts, where)
        for i, (line, commands, expected) in enumerate(parts):
            name = f"{args.file}:{line}"
            if not os.path.exists(f"{where}/{i}"):
                break
            with open(f"{where}/{i}", encoding="utf-8", errors="replace") as f:
                got = f.read()
            if args.print:
                print(f"--- {name}\n{commands}--- prints\n{got}")
            if not os.path.exists(f"{where}/{i}.done"):
                print(f"{name}: status {status} from\n{commands}which printed\n{got}")
                wrong += 1
            elif expected is not None and not pattern(expected).match(got):
                print(f"{name}: the page says\n{expected}but it printed\n{got}")
                wrong += 1
            else:
                print(f"{name}: ok")
    sys.exit(1 if wrong or status else 0)


main()
