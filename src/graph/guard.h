/*
 * guard - no rule cuts off the session of whoever makes it
 *
 * Before verdicts change, the packets of the sessions by which the caller is here (base/session.h) are made up
 * as the hook sees them, in both directions as far as these pass it, without data and with some, and are put to
 * the rules as they are and as they would be. One that passes now and would be dropped then, by a rule that is
 * not force=1: -EPERM, and the sentence names the session. What may hang on anything but addresses, ports and
 * flags (marks, lengths) is not foreseen.
 *
 * Threads: control.
 */
#ifndef PFS_GRAPH_GUARD_H
#define PFS_GRAPH_GUARD_H

#include "graph/decide.h"

struct pfs_cred;

/* Rules change for this caller from here on, until it is called with NULL: nobody is looked after. */
void pfs_guard_for(struct pfs_graph *graph, const struct pfs_cred *cred);
/* May `after` come after `before`? -EPERM: it would cut him off; -ENOMEM. */
int pfs_guard_check(struct pfs_domain *domain, const struct pfs_list *before,
		    const struct pfs_list *after, struct pfs_diag *diag);

#endif
