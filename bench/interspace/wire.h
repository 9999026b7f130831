/*
 * wire - the plain far end of a pair of network devices: a packet socket, send and receive, and who may send how much
 *
 * A transfer is one frame or several, each an Ethernet header of a local experimental type and a piece. Frames are
 * dropped where there is no room, so the two ends tell each other in shared memory how many were taken, and at
 * most `window` are on the way: who must wait yields. That is not part of the mechanism, and costs little beside a
 * frame.
 */
#ifndef BENCH_INTERSPACE_WIRE_H
#define BENCH_INTERSPACE_WIRE_H

#include "study.h"

#define WIRE_HEADER 14u
#define WIRE_TYPE 0x88b5

struct wire_count {
	_Atomic uint64_t sent, taken; /* frames; writers: the sender, the receiver */
	uint8_t unused[112];
};

struct wire {
	size_t piece; /* bytes of one frame */
	unsigned window;
	int far;		  /* the packet socket of end 1 */
	struct wire_count *to[2]; /* shared */
};

/* The pair is made, the far socket bound to `far_end`. NULL and study_why(), or w. */
struct wire *wire_open(struct wire *w, const char *near_end, const char *far_end, unsigned mtu);
void wire_close(struct wire *w, const char *near_end);
/* A packet socket on a device; `receives` or only sends. -1 and errno */
int wire_socket(const char *device, bool receives);
/* Wait for the window, then count a frame to the other end. */
void wire_sending(struct wire *w, int end);
void wire_taken(struct wire *w, int end);
/* The 14 bytes in front of each. */
void wire_header(uint8_t *frame);

void wire_far_put(struct wire *w, const uint8_t *from, size_t len);
const uint8_t *wire_far_get(struct wire *w, uint8_t *into, size_t len);

#endif
