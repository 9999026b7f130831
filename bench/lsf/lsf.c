/*
 * bench-lsf - what socket filters cost: attach, packet, filter, deliver, walk
 *
 *	bench-lsf WHAT ROUNDS
 *
 * Prints lines of fields with tabs between them; bench/lsf says what they are.
 */
#include "lsf.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

void die(const char *what)
{
	perror(what);
	exit(1);
}

int packet_socket(int protocol)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons((uint16_t)protocol),
				  .sll_ifindex = (int)if_nametoindex("d0") };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("packet socket on d0");
	return fd;
}

void make_frame(uint8_t *frame, size_t len)
{
	memset(frame, 0, len);
	memset(frame, 2, 6);
	be16_store(frame + 12, ETH_P_IP);
	frame[14] = 0x45;
	be16_store(frame + 16, (uint16_t)(len - 14));
	frame[22] = 64;
	frame[23] = 17;
	be32_store(frame + 26, 0x0a000001);
	be32_store(frame + 30, 0x0a000002);
	be16_store(frame + 34, 1000);
	be16_store(frame + 36, 2000);
	be16_store(frame + 38, (uint16_t)(len - 34));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(unsigned rounds);
	} parts[] = {
		{ "attach", lsf_attach },   { "packet", lsf_packet }, { "filter", lsf_filter },
		{ "deliver", lsf_deliver }, { "walk", lsf_walk },
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && argc == 3; i++)
		if (strcmp(argv[1], parts[i].name) == 0)
			return parts[i].run((unsigned)strtoul(argv[2], NULL, 10));
	fputs("usage: bench-lsf attach|packet|filter|deliver|walk ROUNDS\n", stderr);
	return 2;
}
