/* Filters of traffic control (cls_bpf), which the kernel runs one after the other: rtnetlink. */
#include "lsf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

struct request {
	struct nlmsghdr head;
	struct tcmsg tc;
	uint8_t attributes[40000];
};

static int socket_fd = -1;

static void request_begin(struct request *r, uint16_t type, uint16_t flags, uint32_t handle)
{
	r->head = (struct nlmsghdr){ .nlmsg_len = NLMSG_LENGTH(sizeof(r->tc)),
				     .nlmsg_type = type,
				     .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags };
	r->tc = (struct tcmsg){ .tcm_ifindex = (int)if_nametoindex("d0"),
				.tcm_handle = handle,
				.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
				.tcm_info = TC_H_MAKE(1u << 16, htons(ETH_P_ALL)) };
}

static struct rtattr *request_add(struct request *r, uint16_t type, const void *data, size_t n)
{
	struct rtattr *a = (struct rtattr *)(void *)((uint8_t *)r + NLMSG_ALIGN(r->head.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(n);
	if (n)
		memcpy(RTA_DATA(a), data, n);
	r->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->head.nlmsg_len) + RTA_SPACE(n));
	return a;
}

/* 0 or -errno, as the kernel says. */
static int request_send(const struct request *r)
{
	union {
		struct {
			struct nlmsghdr head;
			struct nlmsgerr error;
		};
		uint8_t bytes[65536];
	} answer;

	if (socket_fd < 0)
		socket_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (socket_fd < 0 || send(socket_fd, r, r->head.nlmsg_len, 0) < 0 ||
	    recv(socket_fd, &answer, sizeof(answer), 0) < (ssize_t)sizeof(answer.head) + 4 ||
	    answer.head.nlmsg_type != NLMSG_ERROR)
		die("rtnetlink");
	return answer.error.error;
}

void tc_none(void)
{
	static struct request r;
	int error;

	request_begin(&r, RTM_DELTFILTER, 0, 0);
	error = request_send(&r);
	errno = -error;
	if (error < 0 && error != -ENOENT && error != -EINVAL)
		die("filters of d0");
}

static void add_one(struct request *r, struct rtattr *options)
{
	int error;

	options->rta_len = (uint16_t)((uint8_t *)r + r->head.nlmsg_len - (uint8_t *)options);
	error = request_send(r);
	errno = -error;
	if (error < 0)
		die("a filter of d0");
}

void tc_classic(const struct sock_filter *insns, size_t ninsns, unsigned n)
{
	static struct request r;
	uint16_t len = (uint16_t)ninsns;

	tc_none();
	for (unsigned i = 0; i < n; i++) {
		struct rtattr *options;

		request_begin(&r, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, i + 1);
		request_add(&r, TCA_KIND, "bpf", 4);
		options = request_add(&r, TCA_OPTIONS, NULL, 0);
		request_add(&r, TCA_BPF_OPS_LEN, &len, sizeof(len));
		request_add(&r, TCA_BPF_OPS, insns, ninsns * sizeof(*insns));
		add_one(&r, options);
	}
}

void tc_ebpf(const int *fd, unsigned n)
{
	static struct request r;

	tc_none();
	for (unsigned i = 0; i < n; i++) {
		struct rtattr *options;
		uint32_t prog = (uint32_t)fd[i];

		request_begin(&r, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, i + 1);
		request_add(&r, TCA_KIND, "bpf", 4);
		options = request_add(&r, TCA_OPTIONS, NULL, 0);
		request_add(&r, TCA_BPF_FD, &prog, sizeof(prog));
		request_add(&r, TCA_BPF_NAME, "pf", 3);
		add_one(&r, options);
	}
}
