/*
 * pass - a verdict: let the packets that come here pass
 *
 * Synopsis:   /p/netfilter_in/…/pass
 * Parameters: none
 * Stats:      packets (on which this verdict was given), undecided (see below); `bytes` are those of `packets`
 * Classes:    none
 * Example:    mkdir -p '/p/netfilter_in/match:tcp dst port 23/pass'
 *
 * A packet that gets here is accepted, whatever any `drop` of the same hook says. It is a sink: it acts
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
 * rmdir, mv and .params are refused, EPERM, if a `drop` cut off the session of the caller without this; see its manual.
 */
#include "sink/ruling.h"

const struct pfs_filter pfs_filter_pass = {
	.name = "pass",
	.summary = "a verdict: let the packets that come here pass",
	.flags = PFS_FILTER_SINK,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.verdict = PFS_VERDICT_PASS,
	.state_size = sizeof(struct pfs_ruling),
	.batch = pfs_ruling_batch,
	.keeps = pfs_ruling_keeps,
	.passed = pfs_ruling_passed,
	.stats = pfs_ruling_stats,
};
