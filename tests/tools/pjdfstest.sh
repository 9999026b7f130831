#!/bin/sh
# pjdfstest.sh - what pjdfstest says of a directory, a line for each check, names made alike
#
#	pjdfstest.sh SUITE DIR
#
# SUITE: a checkout of github.com/pjd/pjdfstest, built. Two directories that behave alike have the same output; a check
# that fails in both fails because of the filesystem, or of the suite. What POSIX leaves open ("TODO") may be either.
# rename/22 checks other things on FUSE than on what is below, by the filesystem's name: it is left out.
set -eu

suite=$1
cd "$2"
find "$suite/tests" -name '*.t' ! -path '*/rename/22.t' | sort | while read -r file; do
	name=${file#"$suite/tests/"}
	rm -rf run && mkdir -m 755 run
	(cd run && sh "$file" 2>&1 </dev/null) |
		sed -E -e "s/(not )?ok ([0-9]+) # TODO/\2 # either:/; s/pjdfstest_[0-9a-f]+/NAME/g; s/[0-9a-f]{32,}/LONG/g; s:^:$name :"
done
rm -rf run
