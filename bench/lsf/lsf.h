/*
 * lsf - what the parts of bench-lsf share
 *
 * Everything runs in a network namespace with one end `d0` of a veth pair, both up, which bench/lsf has made.
 * Frames that are sent there are shown to packet sockets and, at the other end, thrown away.
 */
#ifndef BENCH_LSF_H
#define BENCH_LSF_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/bytes.h"

#define FRAME_MAX 9000u

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

__attribute__((noreturn)) void die(const char *what);

/* A packet socket on d0, for sending (protocol 0) or for receiving everything. */
int packet_socket(int protocol);
/* A UDP datagram in an Ethernet frame, len bytes in all. */
void make_frame(uint8_t *frame, size_t len);

/* `n` filters that run for each frame sent on d0, instead of those before. Classic BPF, or the programs `fd`. */
void tc_classic(const struct sock_filter *insns, size_t ninsns, unsigned n);
void tc_ebpf(const int *fd, unsigned n);
void tc_none(void);

int lsf_attach(unsigned rounds);
int lsf_packet(unsigned rounds);
int lsf_filter(unsigned rounds);
int lsf_deliver(unsigned rounds);
int lsf_walk(unsigned rounds);

#endif
