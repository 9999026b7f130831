#include "graph/guard.h"

#include "base/bytes.h"
#include "base/session.h"
#include "graph/graph_i.h"
#include "pf/back/interp.h"
#include "pf/merge/tree.h"

#define SESSIONS_MAX 64
#define DATA 32 /* bytes, in the packet with data */

enum { IP4_HEADER = 20, IP6_HEADER = 40, TCP_HEADER = 20, TCP = 6 };
enum { ACK = 0x10, PSH_ACK = 0x18 };

void pfs_guard_for(struct pfs_graph *graph, const struct pfs_cred *cred)
{
	graph->asker = cred;
}

/* --- packets ------------------------------------------------------------------------------------ */

struct talk {
	uint8_t bytes[IP6_HEADER + TCP_HEADER + DATA];
	uint32_t len;
};

static void talk_tcp(uint8_t *tcp, uint16_t from, uint16_t to, bool data)
{
	be16_store(tcp, from);
	be16_store(tcp + 2, to);
	be32_store(tcp + 4, 1);
	be32_store(tcp + 8, 1);
	tcp[12] = TCP_HEADER / 4 << 4;
	tcp[13] = data ? PSH_ACK : ACK;
	be16_store(tcp + 14, 512);
}

/* A packet of the session, to us (in) or from us. Its checksums are nobody's concern. */
static void talk_make(const struct pfs_session *s, bool in, bool data, struct talk *ret_talk)
{
	const uint8_t *from = in ? s->remote : s->local, *to = in ? s->local : s->remote;
	uint32_t payload = TCP_HEADER + (data ? DATA : 0);
	uint8_t *p = ret_talk->bytes;

	memset(ret_talk, 0, sizeof(*ret_talk));
	if (s->version == 4) {
		p[0] = 0x45;
		be16_store(p + 2, (uint16_t)(IP4_HEADER + payload));
		be16_store(p + 6, 0x4000);
		p[8] = 64;
		p[9] = TCP;
		memcpy(p + 12, from, 4);
		memcpy(p + 16, to, 4);
		ret_talk->len = IP4_HEADER + payload;
		p += IP4_HEADER;
	} else {
		p[0] = 0x60;
		be16_store(p + 4, (uint16_t)payload);
		p[6] = TCP;
		p[7] = 64;
		memcpy(p + 8, from, 16);
		memcpy(p + 24, to, 16);
		ret_talk->len = IP6_HEADER + payload;
		p += IP6_HEADER;
	}
	talk_tcp(p, in ? s->remote_port : s->local_port, in ? s->local_port : s->remote_port, data);
}

/* Does a packet of the session pass the hook in this direction? In another namespace: whatever passes through. */
static bool passes(const struct pfs_node *source, bool here, bool in)
{
	static const struct {
		const char *name;
		bool in, out, through;
	} hooks[] = {
		{ "netfilter_pre", true, false, true },
		{ "netfilter_in", true, false, false },
		{ "netfilter_forward", false, false, true },
		{ "netfilter_out", false, true, false },
		{ "netfilter_post", false, true, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		if (strcmp(source->from->name, hooks[i].name) == 0)
			return here ? (in ? hooks[i].in : hooks[i].out) : hooks[i].through;
	return true;
}

/* --- rules -------------------------------------------------------------------------------------- */

/* Those of a list that lead to a verdict, ready to run. */
struct rules {
	const struct pfs_list *list;		/* borrowed */
	struct pf_interp *code[PFS_TAKERS_MAX]; /* owned; NULL: it keeps everything, or leads to none */
	bool on[PFS_TAKERS_MAX];
};

static void rules_free(struct rules **rules)
{
	for (size_t i = 0; *rules && i < PFS_TAKERS_MAX; i++)
		pf_interp_free((*rules)->code[i]);
	free(*rules);
}

static int rules_make(struct rules *rules, const struct pfs_list *list)
{
	int r = 0;

	rules->list = list;
	for (size_t i = list->in.n; i-- > 0;) {
		const struct pfs_interest *item = &list->in.item[i];

		rules->on[i] |= item->verdict != PFS_VERDICT_NONE;
		rules->on[item->above] |= rules->on[i];
	}
	for (size_t i = 0; i < list->in.n && r == 0; i++)
		if (rules->on[i] && list->in.item[i].unit)
			r = pf_interp_make(list->in.item[i].unit, &rules->code[i]);
	return r;
}

static bool keeps(const struct rules *rules, size_t i, const struct pf_packet *packet)
{
	uint32_t cut = rules->list->in.item[i].cut, said = 1;
	struct pf_packet seen = *packet;

	if (cut && cut < seen.caplen)
		seen.caplen = cut;
	if (rules->code[i])
		said = pf_interp_run(rules->code[i], &seen, NULL);

	return said && said != PF_UNSURE;
}

static bool is_forced(const struct pfs_node *node)
{
	const char *force = node ? pfs_args_get(&node->args, "force") : NULL;

	return force && strcmp(force, "1") == 0;
}

/* Which rule drops it; -1: none does, or one passes it. */
static ssize_t drops(const struct rules *rules, const struct talk *talk)
{
	struct pf_packet packet = { .data = talk->bytes, .caplen = talk->len, .len = talk->len };
	bool kept[PFS_TAKERS_MAX] = { false };
	ssize_t drop = -1;

	for (size_t i = 0; i < rules->list->in.n; i++) {
		const struct pfs_interest *item = &rules->list->in.item[i];

		kept[i] = rules->on[i] && (i == 0 || kept[item->above]) && keeps(rules, i, &packet);
		if (!kept[i] || item->verdict == PFS_VERDICT_NONE)
			continue;
		if (item->verdict == PFS_VERDICT_PASS)
			return -1;
		if (!is_forced(rules->list->nodes[i]))
			drop = (ssize_t)i;
	}
	return drop;
}

static int check_session(const struct pfs_node *source, const struct rules *before,
			 const struct rules *after, const struct pfs_session *s, struct pfs_diag *diag)
{
	uint64_t netns = pfs_session_netns(pfs_args_get(&source->args, "netns"));
	char text[200];

	for (unsigned i = 0; i < 4; i++) {
		bool in = i & 1;
		struct talk talk = { 0 };

		if (!passes(source, s->netns == netns, in))
			continue;
		talk_make(s, in, i & 2, &talk);
		if (drops(after, &talk) < 0 || drops(before, &talk) >= 0)
			continue;
		pfs_session_text(s, text, sizeof(text));
		return pfs_diag_set(diag, EPERM,
				    "this would cut off the session by which you are here, %s: make a `pass` for it "
				    "first, or the `drop` with force=1",
				    text);
	}
	return 0;
}

int pfs_guard_check(struct pfs_domain *domain, const struct pfs_list *before,
		    const struct pfs_list *after, struct pfs_diag *diag)
{
	const struct pfs_cred *cred = domain->graph->asker;
	PFS_CLEANUP(rules_free) struct rules *was = pfs_zalloc(1, sizeof(*was));
	PFS_CLEANUP(rules_free) struct rules *is = pfs_zalloc(1, sizeof(*is));
	PFS_FREE struct pfs_session *sessions = pfs_zalloc(SESSIONS_MAX, sizeof(*sessions));
	size_t n;
	int r;

	if (!cred || !cred->pid)
		return 0;
	if (!was || !is || !sessions)
		return -ENOMEM;
	n = pfs_sessions_of(cred->pid, sessions, SESSIONS_MAX);
	r = n ? rules_make(was, before) : 0;
	if (r == 0 && n)
		r = rules_make(is, after);
	for (size_t i = 0; i < n && r == 0; i++)
		r = check_session(domain->source, was, is, &sessions[i], diag);
	return r;
}
