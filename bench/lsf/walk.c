/*
 * The way of a packet through the kernel: `CALL WHAT ROUND NS`
 *
 * A packet socket with a filter is made on `lo`, a datagram is sent there and received. WHAT is a tracepoint,
 * then NS is the time since the system call CALL began; or a function with (), then it is how long that took.
 * Functions are taken by fentry and fexit, tracepoints as raw ones, by programs that note the time in memory
 * shared with us, for this thread alone. What the kernel has not, or does not let us trace, is named on standard
 * error and left out. Noting costs time itself: CALL is "(noting)" where two notes follow each other with nothing
 * in between.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lsf.h"
#include "pf/back/kcode.h"

#define EVENTS 8192u /* a power of two */

struct event {
	uint32_t id, arg;
	uint64_t ns;
};

struct shared {
	uint64_t n;
	uint64_t unused;
	struct event event[EVENTS];
};

static const char *const tracepoints[] = {
	"sys_enter",	    "sys_exit",	      "net_dev_queue",		 "net_dev_start_xmit",
	"net_dev_xmit",	    "netif_rx_entry", "netif_rx_exit",		 "netif_receive_skb",
	"sk_data_ready",    "consume_skb",    "skb_copy_datagram_iovec", "sock_send_length",
	"sock_recv_length",
};

/* As they are called in Linux 6.18. */
static const char *const functions[] = {
	"__sys_socket",
	"packet_create",
	"__sys_setsockopt",
	"sk_attach_filter",
	"__sys_sendto",
	"udp_sendmsg",
	"__dev_queue_xmit",
	"dev_queue_xmit_nit",
	"packet_rcv",
	"sk_filter_trim_cap",
	"__netif_receive_skb_core",
	"ip_rcv",
	"sock_def_readable",
	"__sys_recvfrom",
	"packet_recvmsg",
	"skb_recv_datagram",
	"skb_copy_datagram_iter",
};

enum {
	NTRACE = sizeof(tracepoints) / sizeof(tracepoints[0]),
	NFUNC = sizeof(functions) / sizeof(functions[0])
};

static struct shared *shared;
static int map;

/* Notes (id, second argument) and the time. */
static void write_program(struct kcode *c, uint32_t id, bool with_arg)
{
	unsigned out = kcode_label(c);
	struct stat space;

	if (with_arg)
		kcode_load(c, BPF_DW, R9, R1, 8);
	else
		kcode_mov_imm(c, R9, 0);
	/* Our number as we know it, in our namespace of processes. */
	if (stat("/proc/self/ns/pid", &space) < 0)
		die("/proc/self/ns/pid");
	kcode_alu32_imm(c, BPF_MOV, R1, (uint32_t)space.st_dev);
	kcode_alu32_imm(c, BPF_MOV, R2, (uint32_t)space.st_ino);
	kcode_mov(c, R3, R10);
	kcode_alu_imm(c, BPF_ADD, R3, -16);
	kcode_mov_imm(c, R4, 8);
	kcode_call(c, BPF_FUNC_get_ns_current_pid_tgid);
	kcode_jump_imm(c, BPF_JNE, R0, 0, out);
	kcode_load(c, BPF_W, R0, R10, -16);
	kcode_jump32_imm(c, BPF_JNE, R0, (uint32_t)syscall(SYS_gettid), out);
	kcode_map(c, R1, map);
	kcode_store_imm(c, BPF_W, R10, -4, 0);
	kcode_mov(c, R2, R10);
	kcode_alu_imm(c, BPF_ADD, R2, -4);
	kcode_call(c, BPF_FUNC_map_lookup_elem);
	kcode_jump_imm(c, BPF_JEQ, R0, 0, out);
	kcode_mov(c, R7, R0);
	kcode_call(c, BPF_FUNC_ktime_get_ns);
	kcode_load(c, BPF_DW, R1, R7, 0);
	kcode_mov(c, R2, R1);
	kcode_alu_imm(c, BPF_ADD, R2, 1);
	kcode_store(c, BPF_DW, R7, 0, R2);
	kcode_alu_imm(c, BPF_AND, R1, EVENTS - 1);
	kcode_alu_imm(c, BPF_LSH, R1, 4);
	kcode_alu(c, BPF_ADD, R7, R1);
	kcode_store_imm(c, BPF_W, R7, (int)offsetof(struct shared, event), (int32_t)id);
	kcode_store(c, BPF_W, R7, (int)offsetof(struct shared, event) + 4, R9);
	kcode_store(c, BPF_DW, R7, (int)offsetof(struct shared, event) + 8, R0);
	kcode_place(c, out);
	kcode_mov_imm(c, R0, 0);
	kcode_exit(c);
	if (kcode_finish(c) < 0)
		die("program");
}

/* attach: BPF_TRACE_FENTRY, BPF_TRACE_FEXIT; 0: a raw tracepoint. */
static bool trace(const char *name, uint32_t id, enum bpf_attach_type attach)
{
	KCODE_CLEANUP struct kcode c = { 0 };
	LIBBPF_OPTS(bpf_prog_load_opts, options);
	int prog, link, type = attach ? BPF_PROG_TYPE_TRACING : BPF_PROG_TYPE_RAW_TRACEPOINT;

	if (attach) {
		int btf = libbpf_find_vmlinux_btf_id(name, attach);

		if (btf < 0)
			return false;
		options.expected_attach_type = attach;
		options.attach_btf_id = (uint32_t)btf;
	}
	write_program(&c, id, !attach && (strcmp(name, "sys_enter") == 0));
	prog = bpf_prog_load((enum bpf_prog_type)type, "lsf_walk", "GPL", c.insn, c.n, &options);
	link = prog < 0 ? -1 : bpf_raw_tracepoint_open(attach ? NULL : name, prog);
	if (link < 0)
		fprintf(stderr, "%s%s: %s\n", name, attach ? "()" : "", strerror(errno));
	if (prog >= 0)
		close(prog); /* the link keeps it, to our end */
	return link >= 0;
}

static void begin_tracing(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);

	libbpf_set_print(NULL);
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "lsf_walk", 4, sizeof(struct shared), 1, &options);
	if (map < 0)
		die("map");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	for (uint32_t i = 0; i < NFUNC; i++)
		/* Either of them alone says nothing. */
		if (trace(functions[i], NTRACE + i * 2, BPF_TRACE_FENTRY))
			trace(functions[i], NTRACE + i * 2 + 1, BPF_TRACE_FEXIT);
	for (uint32_t i = 0; i < NTRACE; i++)
		trace(tracepoints[i], i, 0);
}

static const char *call_name(uint32_t nr)
{
	switch (nr) {
	case SYS_getppid:
		return "(noting)";
	case SYS_socket:
		return "socket";
	case SYS_setsockopt:
		return "setsockopt";
	case SYS_bind:
		return "bind";
	case SYS_sendto:
		return "sendto";
	case SYS_recvfrom:
		return "recvfrom";
	default:
		return NULL;
	}
}

static void tell(unsigned round)
{
	const char *call = NULL;
	uint64_t begin = 0, entered[NFUNC] = { 0 };

	for (uint64_t i = 0; i < shared->n && i < EVENTS; i++) {
		const struct event *e = &shared->event[i];

		if (e->id == 0) {
			call = call_name(e->arg);
			begin = e->ns;
		} else if (!call) {
			continue;
		} else if (e->id < NTRACE) {
			printf("%s\t%s\t%u\t%llu\n", call, tracepoints[e->id], round,
			       (unsigned long long)(e->ns - begin));
			if (e->id == 1)
				call = NULL;
		} else if ((e->id - NTRACE) % 2 == 0) {
			entered[(e->id - NTRACE) / 2] = e->ns;
		} else if (entered[(e->id - NTRACE) / 2]) {
			printf("%s\t%s()\t%u\t%llu\n", call, functions[(e->id - NTRACE) / 2], round,
			       (unsigned long long)(e->ns - entered[(e->id - NTRACE) / 2]));
		}
	}
}

/* A filter for UDP to port 9: `udp dst port 9`, as it would be written by hand. */
static struct sock_filter filter[] = {
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x800, 0, 6),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 17, 0, 4),
	BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
	BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 9, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 262144),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

static void walk(int out, const struct sockaddr_in *to)
{
	struct sockaddr_ll lo = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = (int)if_nametoindex("lo") };
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };
	char byte[64] = "";
	int fd;

	shared->n = 0;
	syscall(SYS_getppid);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
	    bind(fd, (struct sockaddr *)&lo, sizeof(lo)) < 0)
		die("packet socket on lo");
	if (sendto(out, byte, sizeof(byte), 0, (const struct sockaddr *)to, sizeof(*to)) < 0)
		die("sendto");
	if (recvfrom(fd, byte, sizeof(byte), MSG_TRUNC, NULL, NULL) < 0)
		die("recvfrom");
	close(fd);
}

int lsf_walk(unsigned rounds)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(9),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int in = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	/* Somebody is there, or each would be answered by an ICMP message. */
	if (bind(in, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("bind");
	begin_tracing();
	for (unsigned round = 0; round < rounds; round++) {
		char byte[64];

		walk(out, &to);
		tell(round);
		recv(in, byte, sizeof(byte), MSG_DONTWAIT);
	}
	close(in);
	close(out);
	return 0;
}
