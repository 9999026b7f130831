/*
 * into - join: write the stream into another directory
 *
 * Synopsis:   …/into:DIR[,policy=reliable|lossy]
 * Parameters: policy  reliable: wait when DIR has no room, so that who writes here waits too (default); behind
 *                     devices and hooks, which cannot wait, the oldest records are lost then ("overrun")
 *                     lossy: lose what finds no room there ("full")
 * Stats:      joined (records), target (where DIR is now)
 * Classes:    none
 * Example:    mkdir -p /p/accept:all/unpcap
 *             mkdir '/p/dev/eth0/tcp/into:accept:all%2funpcap' '/p/dev/eth1/udp/into:accept:all%2funpcap'
 *             cat /p/accept:all/unpcap/all.txt
 *
 * A sink: consumes by itself, as long as the directory exists. DIR (slashes as %2f) is a directory of this filesystem
 * in which its maker may write: relative to the root of the tree, or with the path of the mount in front. Packets go
 * into a directory of packets with their times, lengths, directions and interfaces, and into one of bytes as their bare
 * bytes; bytes go only where bytes are. Records are copied once, into the memory of DIR's tree; longer ones than fit
 * there are lost, "oversize".
 *
 * To DIR the joins of one source are one writer, who comes with the first record of a generation and closes when its
 * end has come by all of them. Each is a stream of its own for a parser there. A device or a hook has no generations:
 * its joins stay open until they are removed.
 *
 * A circle is refused, ELOOP; so is, behind what has generations, a DIR below the same source, EINVAL. When DIR is
 * removed records are lost from then on, "target removed", and .errors says so once.
 */
#include "graph/filter.h"

struct into {
	struct pfs_join *join; /* owned */
	char *dir;	       /* owned: as it was named */
	bool lossy;
	bool said;	    /* the worker's: that the target is gone */
	pfs_counter joined; /* writer: the worker */
};

static int parse_policy(const struct pfs_args *args, bool *ret_lossy, struct pfs_diag *diag)
{
	const char *text = pfs_args_get(args, "policy");

	if (text && strcmp(text, "lossy") != 0 && strcmp(text, "reliable") != 0)
		return pfs_diag_set(diag, EINVAL, "policy= is reliable or lossy, not '%.32s'", text);
	*ret_lossy = text && strcmp(text, "lossy") == 0;
	return 0;
}

static int into_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	struct into *into = state;
	int r = parse_policy(args, &into->lossy, diag);

	if (r < 0)
		return r;
	if (args->arg_len == 0)
		return pfs_diag_set(diag, EINVAL, "into:DIR needs a directory, its slashes as %%2f");
	into->dir = strdup(args->arg);
	if (!into->dir)
		return -ENOMEM;
	r = place->join(place, args->arg, &into->join, diag);
	if (r < 0)
		free(into->dir);
	return r;
}

static int into_reconfigure(void *state, const struct pfs_args *args, const struct pfs_place *place,
			    struct pfs_diag *diag)
{
	struct into *into = state;

	(void)place;
	if (!args->arg || strcmp(args->arg, into->dir) != 0)
		return pfs_diag_set(diag, EINVAL, "a join stays where it leads to: make another one");
	return parse_policy(args, &into->lossy, diag);
}

static void into_fini(void *state)
{
	struct into *into = state;

	pfs_join_close(into->join);
	free(into->dir);
}

static const char *reason_of(int error)
{
	switch (error) {
	case EPIPE:
		return "target removed";
	case EMSGSIZE:
		return "oversize";
	case EAGAIN:
		return "full";
	default:
		return "no memory";
	}
}

static size_t into_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			uint64_t *ret_wait)
{
	struct into *into = state;
	size_t i, lost = 0;

	(void)ret_wait;
	for (i = 0; i < n; i++) {
		int r = pfs_join_put(into->join, &in[i]);

		if (r == -EBUSY || (r == -EAGAIN && !into->lossy))
			break;
		if (r == 0)
			continue;
		pfs_emit_lost(out, reason_of(-r), 1);
		lost++;
		if (r == -EPIPE && !into->said)
			pfs_emit_complain(out, 0, ENOENT,
					  "its target has been removed; what comes here is lost");
		into->said |= r == -EPIPE;
	}
	pfs_counter_add(&into->joined, i - lost);
	if (i > lost)
		pfs_join_run(into->join);
	return i;
}

static bool into_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			 struct pfs_emitter *out)
{
	struct into *into = state;

	(void)out;
	if (ref->flags & PFS_REF_EOF)
		pfs_join_end(into->join, meta);
	return true;
}

static void into_stats(void *state, struct pfs_buf *out)
{
	const struct into *into = state;
	PFS_BUF struct pfs_buf target = { 0 };

	pfs_join_target(into->join, &target);
	pfs_buf_printf(out, "joined %llu\n", (unsigned long long)pfs_counter_get(&into->joined));
	pfs_buf_printf(out, "target %s\n", target.data ? target.data : "removed");
}

static const struct pfs_param into_params[] = {
	{ "policy", "reliable (default): wait for room there; lossy: lose what finds none" },
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_into = {
	.name = "into",
	.summary = "join: write the stream into another directory",
	.flags = PFS_FILTER_SINK,
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.needs_arg = true,
	.params = into_params,
	.state_size = sizeof(struct into),
	.init = into_init,
	.reconfigure = into_reconfigure,
	.fini = into_fini,
	.pull = into_pull,
	.control = into_control,
	.stats = into_stats,
};
