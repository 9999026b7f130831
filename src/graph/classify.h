/*
 * classify - the body of filters that sort packets by one field, into an open set of classes
 *
 * Every packet passes, once. It is in the class of its value, in both where the field has two (`port`, `host`), and in
 * none where it has no such field or the set is full; then it is counted, by why, in .stats.
 *
 *	struct pfs_classify is the filter's state; its init says which field.
 */
#ifndef PFS_GRAPH_CLASSIFY_H
#define PFS_GRAPH_CLASSIFY_H

#include "graph/classes.h"
#include "graph/filter.h"

struct pfs_classify {
	struct pfs_classes set;
};

/* max= and expire= */
extern const struct pfs_param pfs_classify_params[];

int pfs_classify_init(struct pfs_classify *c, const struct pkt_field *field,
		      const struct pfs_args *args, struct pfs_diag *diag);

/* What struct pfs_filter asks for. */
int pfs_classify_reconfigure(void *state, const struct pfs_args *args,
			     const struct pfs_place *place, struct pfs_diag *diag);
void pfs_classify_fini(void *state);
void pfs_classify_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out);
/* The classes of a packet, as far as there are some, without counting it; 0: none. */
void pfs_classify_look(void *state, struct pfs_ref *ref, const struct pfs_emitter *out,
		       uint16_t ret_classes[2]);
void pfs_classify_stats(void *state, struct pfs_buf *out);
struct pfs_classes *pfs_classify_classes(void *state);

#endif
