/*
 * bench-traffic - a capture file of HTTP conversations: FILE MIB
 */
#include <fcntl.h>
#include <stdio.h>

#include "packet/generate.h"

int main(int argc, char **argv)
{
	struct generate_options options = GENERATE_DEFAULTS;
	int fd, r;

	if (argc != 3)
		return 2;
	options.mix = GENERATE_TALK_HTTP;
	options.bytes = strtoull(argv[2], NULL, 10) << 20;
	fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	r = capture_generate_fd(&options, fd, NULL);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-r));
	close(fd);
	return r < 0;
}
