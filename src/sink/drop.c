/*
 * drop - a verdict: drop the packets that come here
 *
 * Synopsis:   /p/netfilter_in/…/drop[,force=1]
 * Parameters: force  1: also if it cuts off the session of whoever makes it, default 0
 * Stats:      packets (on which this verdict was given), undecided (see below); `bytes` are those of `packets`
 * Classes:    none
 * Example:    mkdir -p '/p/netfilter_in/match:tcp dst port 23/drop'
 *
 * A packet that gets here is dropped: the host does not get it, or does not send it. It is a sink: it acts
 * as long as the directory exists, nobody has to read. Readers of the same hook get records of all packets, also of
 * those that are dropped. `pass` comes before `drop`, in whatever order they were made; what neither matches goes on to
 * the next program or rule of the hook. Only a hook's own verdicts are meant: a firewall behind it has its say.
 *
 * The verdict is given by the program in the kernel, so all filters above have to run there (`.graph` says which do):
 * below those with a state (`head`, `sample`), that change packets (`snap`) or sort them (`port`) mkdir is refused,
 * EINVAL; so are a mv to such a place, and parameters (tunnel=) with which a filter above could not run there. A
 * source with kernel=off has no verdicts, EOPNOTSUPP. It goes with the directory, and with the process, however that
 * ends. When
 * netns=, prio= or kernel= of the hook are written there is no verdict for the moment that it takes.
 *
 * Packets that a filter above cannot decide in the kernel (IPv6 with extension headers) are as if that filter had
 * rejected them: this verdict is not given on them, others may be. When the filters say afterwards that they would have
 * come here, they are counted as `undecided`.
 *
 * Who is here by a TCP session (ssh) is not cut off by his own rule: mkdir, mv, .params and rmdir of a `pass`
 * are refused, EPERM, if packets of the established sessions of his process and all above it were dropped then,
 * and were not before; the sentence names the session. With `force=1` this rule is not looked at. What hangs on
 * more than addresses, ports and flags (a mark, a length) is not foreseen, nor what others do.
 */
#include "sink/ruling.h"

static const struct pfs_param drop_params[] = {
	{ "force", "0 or 1: also if it cuts off the session of whoever makes it, default 0" },
	{ NULL, NULL },
};

static int drop_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	const char *force = pfs_args_get(args, "force");

	(void)state;
	(void)place;
	if (force && strcmp(force, "0") != 0 && strcmp(force, "1") != 0)
		return pfs_diag_set(diag, EINVAL, "force=%.40s: it is 0 or 1", force);
	return 0;
}

const struct pfs_filter pfs_filter_drop = {
	.name = "drop",
	.summary = "a verdict: drop the packets that come here",
	.flags = PFS_FILTER_SINK,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.verdict = PFS_VERDICT_DROP,
	.params = drop_params,
	.state_size = sizeof(struct pfs_ruling),
	.init = drop_init,
	.batch = pfs_ruling_batch,
	.keeps = pfs_ruling_keeps,
	.passed = pfs_ruling_passed,
	.stats = pfs_ruling_stats,
};
