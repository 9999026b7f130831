/*
 * filter_i - what the files of `pipesfs filter` share among themselves
 *
 *	filter.c	  the command: what is asked for, listings, running over a capture
 *	filter_file.c	  packets of a capture file
 *	filter_explain.c  what each pass has changed, how large the programs are
 *	filter_bench.c	  how long a packet takes, beside libpcap
 *	filter_prove.c	  that the stages agree about every packet, by a solver
 *	filter_set.c	  many filters, as one program
 */
#ifndef PFS_CMD_FILTER_I_H
#define PFS_CMD_FILTER_I_H

#include <pipesfs/pf.h>

#include "base/base.h"
#include "packet/capture.h"

#define FILTER_SNAPLEN 262144u

/* The filter as it was given. */
struct filter_source {
	const char *language;
	const char *text; /* borrowed */
	size_t len;
	struct pf_options options;
	bool forced; /* the link type was said: packets of a capture are taken to have it */
};

/* Says the sentence on failure; returns an exit status. */
int filter_compile(const struct filter_source *source, const struct pf_options *options,
		   struct pf_prog **ret_prog);

static inline void filter_unrefp(struct pf_prog **prog)
{
	pf_unref(*prog);
}
#define FILTER_PROG PFS_CLEANUP(filter_unrefp)

/* libpcap's own optimised program; NULL: it is no expression, or libpcap refuses it. */
struct bpf_program *filter_peer(const struct filter_source *source);
void filter_peer_free(struct bpf_program *program);

/* --- filter_file.c --------------------------------------------------------------------------- */

struct filter_file {
	int fd;	      /* owned */
	uint8_t *buf; /* owned */
	size_t begin, end, cap;
	bool ended; /* there is no more to read */
	struct capture capture;
};

struct filter_packet {
	const uint8_t *data; /* until the next is asked for */
	uint32_t caplen, len;
	uint16_t link_type;
	bool big_endian;
	uint8_t flags; /* PFS_REC_IN, PFS_REC_OUT */
};

/* 0 or -errno. */
int filter_file_open(const char *path, struct filter_file *ret_file);
/* 1; 0: that was the last; -errno and the sentence. */
int filter_file_next(struct filter_file *file, struct filter_packet *ret_packet, struct pfs_diag *diag);
void filter_file_close(struct filter_file *file);
#define FILTER_FILE PFS_CLEANUP(filter_file_close)

/* What the capture says beside the bytes. */
struct pf_aux filter_aux_of(const struct filter_packet *p);

/* --- filter_explain.c, filter_bench.c, filter_prove.c, filter_set.c -------------------------- */

enum filter_work { FILTER_DUMP, FILTER_EXPLAIN, FILTER_BENCH, FILTER_PROVE, FILTER_RUN };

/* All return an exit status. */
int filter_explain(const struct filter_source *source);
int filter_prove(const struct filter_source *source);
/* The claims of a listing "smt". */
int filter_prove_text(const char *text);
/* The text has a filter in each line. stage: NULL for the usual one. path: a capture file, to run. */
int filter_set(const struct filter_source *source, enum filter_work work, const char *stage,
	       const char *path);
/* path: a capture file, NULL: made-up traffic. */
int filter_bench(const struct filter_source *source, const char *path);

#endif
