#!/bin/sh
# needs: user
# The library as it is installed: the examples of pf(3) and pf_set(3) compile and run as they stand there, and see
# nothing but what the header says.
. "$T_LIB"
t_need cc meson pkg-config nm
[ -f "${PIPESFS%/*}/build.ninja" ] || t_skip "not a build directory"
! t_sanitized || t_skip "a program without the sanitizer would have to load it first"

root=$TMPDIR/root
DESTDIR=$root meson install -C "${PIPESFS%/*}" --skip-subprojects --no-rebuild >log 2>&1 || t_fail "$(tail -n 3 log)"
pc=$(find "$root" -name pipesfs-pf.pc)
t_ok "there is a .pc file" test -n "$pc"

cat >example.c <<'END'
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <pipesfs/pf.h>

int main(int argc, char **argv)
{
	static const unsigned char bytes[40] = { [12] = 0x08, [14] = 0x45, [23] = 6 };
	struct pf_error error;
	struct pf_prog *prog;
	struct pf_packet packet = { bytes, sizeof(bytes), sizeof(bytes), NULL };

	if (argc != 2 || pf_compile("pcap", argv[1], strlen(argv[1]), NULL, &prog, &error) < 0)
		errx(1, "%s", error.text);
	puts(pf_run(prog, &packet) ? "it matches" : "it does not match");
	pf_unref(prog);
	return 0;
}
END
# shellcheck disable=SC2046 # words
cc -o example example.c $(PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$root pkg-config --cflags --libs pipesfs-pf)
lib=$(find "$root" -name 'libpipesfs-pf.so')
LD_LIBRARY_PATH=${lib%/*}
export LD_LIBRARY_PATH
t_eq "it matches" "$(./example tcp)" "it matches"
t_eq "it does not" "$(./example udp)" "it does not match"
t_fails "it is no filter" ./example 'tcp and'

# The examples of the manuals, as they stand there.
for page in pf pf_set; do
	t_examples $page.3 $page.ex .c
	for source in "$page".ex*.c; do
		# shellcheck disable=SC2046 # words
		cc -Wall -Wextra -Werror -o "${source%.c}" "$source" \
			$(PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$root pkg-config --cflags --libs pipesfs-pf)
	done
done
t_eq "the example of pf(3)" "$(./pf.ex1)" "it matches"
t_eq "the example of pf_set(3)" "$(./pf_set.ex1)" "filter 1 keeps 262144 bytes
filter 2 keeps 262144 bytes"

nm -D --defined-only "$lib" | awk '$2 == "T" { print $3 }' | sort >shown
# Not types of functions, nor manuals: pf_set(3).
sed '/^typedef/d' "$TOP/include/pipesfs/pf.h" | grep -oE '\bpf_[a-z_]+\([^0-9]' | sed 's/(.*//' | sort -u >said
t_same "what it shows is what the header says" shown said
t_eq "and nothing else" "$(nm -D --defined-only "$lib" | awk '$2 != "T" && $2 != "A"')" ''
