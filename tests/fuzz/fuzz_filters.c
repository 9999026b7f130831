/*
 * fuzz_filters - any bytes as packets of any link type, through every filter that takes packets inline
 *
 * The filters are those of the table, so one added later is covered: with an argument where it needs one, and once more
 * with tunnel=any where it knows that. Each is a directory of a real graph, with a reader, so that it has a step in a
 * plan; its batch() gets refs into memory that ends where the packet ends, which a sanitizer watches, and what it emits
 * is looked at and thrown away.
 *
 * Input: two bytes of link type, then packets, each behind two bytes of length. What is left is tried as the name of a
 * class as well.
 */
#include <stdio.h>

#include "base/bytes.h"
#include "graph/classes.h"
#include "graph/graph_i.h"
#include "packet/field.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

#define FILTERS_MAX 128
#define PACKETS_MAX 8
#define RING 8192
#define HEADER 16 /* PFS_HDR_PCAP */

static struct {
	struct pfs_graph *graph;
	struct pfs_domain *domain;
	struct pfs_step *steps[FILTERS_MAX];
	size_t n;
} all;

/* --- the filters ------------------------------------------------------------------------------------ */

static const struct pfs_cred me = { .uid = 0, .gid = 0, .pid = 0 };

/* The step of the node in the plan that runs it. */
static struct pfs_step *step_of(const struct pfs_node *node)
{
	const struct pfs_plan *plan = node->owner->plan;

	for (unsigned i = 0; i < plan->nsteps; i++)
		if (plan->steps[i]->node == node)
			return plan->steps[i];
	return NULL;
}

static bool takes_packets_inline(const struct pfs_filter *filter)
{
	unsigned not_these = PFS_FILTER_SINK | PFS_FILTER_VIEW;

	return filter->batch && (filter->in & PFS_FLOW_PACKETS) && !(filter->flags & not_these);
}

static bool knows(const struct pfs_filter *filter, const char *key)
{
	for (const struct pfs_param *p = filter->params; p && p->key; p++)
		if (strcmp(p->key, key) == 0)
			return true;
	return false;
}

/* With the first argument that it takes. */
static void add(struct pfs_node *dir, const struct pfs_filter *filter, const char *params,
		struct pfs_node **nodes)
{
	static const char *const args[] = {
		"", ":3", ":tcp", ":port", ":x", ":ldb [23] ret a", ":12:16 == 0x800", ":PUSHWORD+6"
	};
	struct pfs_reader_options options = { .policy = 0, .cred = me };
	struct pfs_reader *reader;
	struct pfs_diag diag;
	char name[64];

	for (size_t i = 0; i < ARRAY_SIZE(args); i++) {
		snprintf(name, sizeof(name), "%s%s%s", filter->name, args[i], params);
		if (pfs_node_make(dir, name, &me, 0755, &nodes[all.n], &diag) == 0) {
			CHECK(all.n < FILTERS_MAX);
			CHECK(pfs_reader_open(nodes[all.n], &options, &reader, &diag) == 0);
			all.n++;
			return;
		}
	}
	fprintf(stderr, "%s: %s\n", name, diag.text);
	abort(); /* a filter that needs another argument: say it in args */
}

static void setup(void)
{
	struct pfs_graph_options options = { 0 };
	static struct pfs_node *nodes[FILTERS_MAX];
	struct pfs_node *accept, *unpcap;

	CHECK(pfs_graph_new(&options, &all.graph) == 0);
	CHECK(pfs_node_make(pfs_graph_root(all.graph), "accept", &me, 0755, &accept, NULL) == 0);
	CHECK(pfs_node_make(accept, "unpcap", &me, 0755, &unpcap, NULL) == 0);
	all.domain = accept->domain;
	for (size_t i = 0; pfs_filters[i]; i++) {
		if (!takes_packets_inline(pfs_filters[i]))
			continue;
		add(unpcap, pfs_filters[i], "", nodes);
		if (knows(pfs_filters[i], "tunnel"))
			add(unpcap, pfs_filters[i], ",tunnel=any", nodes);
		if (knows(pfs_filters[i], "compare"))
			add(unpcap, pfs_filters[i], ",compare=all", nodes);
	}
	for (size_t i = 0; i < all.n; i++) { /* opening made new plans: these are the last */
		all.steps[i] = step_of(nodes[i]);
		CHECK(all.steps[i]);
	}
}

/* --- packets ------------------------------------------------------------------------------------------ */

struct packets {
	struct pfs_ring *ring[PACKETS_MAX]; /* one for each, so that each ends at the end of its memory */
	uint8_t *memory[PACKETS_MAX];
	struct pfs_ref refs[PACKETS_MAX];
	size_t n;
};

static uint64_t no_limit(void *owner, struct pfs_ring *ring, uint64_t want)
{
	return want;
}

static void memory_release(struct pfs_ring *ring)
{
}

static bool packet_add(struct packets *packets, uint16_t origin, const uint8_t *bytes, size_t len)
{
	size_t i = packets->n;
	uint8_t *memory = malloc(RING), *at;

	CHECK(memory && len + HEADER <= RING);
	if (pfs_ring_adopt(all.graph->rings, memory, RING, memory_release, NULL, no_limit, NULL,
			   &packets->ring[i]) < 0) {
		free(memory);
		return false;
	}
	at = memory + RING - HEADER - len;
	le32_store(at, 1700000000);
	le32_store(at + 4, (uint32_t)(i * 1000));
	le32_store(at + 8, (uint32_t)len);
	le32_store(at + 12, (uint32_t)(len + i * 7));
	memcpy(at + HEADER, bytes, len);
	packets->memory[i] = memory;
	packets->refs[i] = (struct pfs_ref){
		.pos = RING - HEADER - len,
		.len = (uint32_t)len,
		.ring = packets->ring[i]->id,
		.origin = origin,
		.l3 = PFS_LAYER_NONE,
		.l4 = PFS_LAYER_NONE,
		.hdr = PFS_HDR_PCAP,
	};
	packets->n++;
	return true;
}

static void packets_release(struct packets *packets)
{
	for (size_t i = 0; i < packets->n; i++) {
		pfs_ring_free(packets->ring[i]);
		free(packets->memory[i]);
	}
}

/* What is emitted is a part of a packet that came in, and its layers lie in it. */
static void check_ref(const struct packets *packets, const struct pfs_ref *ref)
{
	const struct pfs_ref *in = NULL;

	for (size_t i = 0; i < packets->n; i++)
		if (packets->refs[i].ring == ref->ring)
			in = &packets->refs[i];
	CHECK(in && ref->pos == in->pos && ref->hdr == in->hdr);
	CHECK(ref->off <= in->len && ref->len <= in->len - ref->off);
	CHECK(pfs_origin_get(all.graph->rings, ref->origin) != NULL);
	CHECK(ref->l3 == PFS_LAYER_NONE || ref->l3 <= ref->len);
	CHECK(ref->l4 == PFS_LAYER_NONE || (ref->l3 <= ref->l4 && ref->l4 <= ref->len));
}

static void run(struct pfs_step *step, const struct packets *packets)
{
	const struct pfs_filter *filter = step->node->filter;
	struct pfs_ref refs[PACKETS_MAX];
	struct pfs_meta meta;

	memcpy(refs, packets->refs, sizeof(refs)); /* as if nobody had looked at them */
	if (filter->attach)
		filter->attach(step->node->state);
	filter->batch(step->node->state, refs, packets->n, &step->em);
	CHECK(step->nout <= packets->n);
	for (size_t i = 0; i < step->nout; i++) {
		check_ref(packets, &step->out[i]);
		pfs_ref_meta(all.graph->rings, &step->out[i], &meta);
	}
	step->nout = 0;
	step->eof = false;
}

/* Any text as the name of a class: one that means something has one name, which means the same. */
static void run_name(const uint8_t *data, size_t size)
{
	char name[PFS_NAME_MAX + 1], text[PKT_FIELD_NAME_SIZE], again[PKT_FIELD_NAME_SIZE];
	struct pkt_key key, same;

	size = pfs_min(size, PFS_NAME_MAX);
	memcpy(name, data, size);
	name[size] = '\0';
	for (size_t i = 0; pkt_fields[i]; i++) {
		const struct pkt_field *field = pkt_fields[i];

		key = same = (struct pkt_key){ 0 };
		if (!field->parse(name, &key))
			continue;
		field->text(&key, false, text);
		CHECK(field->parse(text, &same));
		field->text(&same, false, again);
		CHECK(strcmp(text, again) == 0);
		CHECK(memcmp(&key, &same, field->words * sizeof(key.word[0])) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packets packets = { 0 };
	struct pfs_origin origin = { .name = "fuzz", .time_unit = 1000000 };
	uint16_t id;

	if (!all.graph)
		setup();
	if (size < 2)
		return 0;
	origin.link_type = le16_load(data) &
			   0x1ff; /* all that mean something, and no more than a source may have */
	if (pfs_origin_use(all.graph->rings, &all.domain->origins, &origin, &id) < 0)
		return 0;
	data += 2;
	size -= 2;
	run_name(data, size);
	while (size >= 2 && packets.n < PACKETS_MAX) {
		size_t len = pfs_min(pfs_min(le16_load(data), size - 2), RING - HEADER);

		if (!packet_add(&packets, id, data + 2, len))
			break;
		data += 2 + len;
		size -= 2 + len;
	}
	for (size_t i = 0; i < all.n && packets.n > 0; i++)
		run(all.steps[i], &packets);
	packets_release(&packets);
	return 0;
}
