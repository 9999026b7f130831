/*
 * reader_i - one open of a pipe, inside
 */
#ifndef PFS_GRAPH_READER_I_H
#define PFS_GRAPH_READER_I_H

#include "graph/graph_i.h"

struct pfs_share;

struct pfs_reader {
	struct pfs_node *node;	 /* a reference */
	struct pfs_reader *next; /* control: node->first_reader */
	struct pfs_cursor cursor;
	struct pfs_cred cred;
	bool maps;	       /* its client maps what processes write into: pfs_inject_join() */
	pfs_counter delivered; /* records of its directory, whatever it is shown of them */
	uint64_t first; /* control: of the records in its directory's queue, the first that is for it */
	uint64_t cursor_first; /* of the records in its own queue */
	uint64_t lost_first;   /* control: of those that its view lost, likewise */
	struct pfs_buf preamble;
	size_t preamble_sent;
	uint64_t lost_told; /* of what its cursor lost, what the stream has been begun again for */
	/* pfs_reader_ready() may look at these from any thread. */
	_Atomic bool has_preamble;    /* not all of it was sent */
	_Atomic bool generation_over; /* EOF was given and nothing has come since */

	/* between get and done */
	bool pinned;
	bool moved;	/* control refs were taken, which was no reply */
	size_t full;	/* refs given whole */
	size_t records; /* data records that they stand for */
	size_t sent;	/* bytes of preamble or rest */
	enum { FROM_QUEUE, FROM_REST, FROM_PREAMBLE } from;
	struct pfs_ref part; /* the one given in part, narrowed to what is left; len 0: none */
	struct pfs_ref last_given;	   /* the last whole one */
	_Atomic(struct pfs_share *) share; /* owned; a client reads. Set once, under its view's run lock */
	size_t usual; /* bytes of a record, by the last reply from the queue; 0: none yet */
};

/* --- reader.c ------------------------------------------------------------------------------- */

/*
 * Nothing more will ever come into its queue. Takes run locks.
 */
bool pfs_reader_drained(struct pfs_reader *reader);

/* --- share.c: of a reader whose client reads ----------------------------------------------- */

void pfs_share_follow(struct pfs_reader *reader); /* its books, as the client says; any other reader is let be */
void pfs_share_free(struct pfs_reader *reader); /* its cursor is about to go */

#endif
