#include "pf/merge/keyed.h"

struct node {
	unsigned parent;
	unsigned word;
	unsigned known; /* words */
	bool waits;
	struct pf_table *table; /* owned; NULL: the root, and nodes that wait */
};

/* Numbers from 1 on: how often each is used, and which are free. */
struct numbers {
	uint32_t *refs; /* owned */
	uint32_t *free; /* owned; a stack */
	uint32_t n, nfree, cap;
};

struct pf_keyed {
	unsigned words;
	struct pf_reclaim *reclaim; /* borrowed */
	struct node node[PF_KEYED_NODES];
	unsigned n;
	unsigned leaf; /* a node that knows all words; 0: none yet */
	struct numbers state, entry;
};

/* --- numbers --------------------------------------------------------------------------------- */

static void numbers_release(struct numbers *s)
{
	free(s->refs);
	free(s->free);
}

static int numbers_take(struct numbers *s, uint32_t *ret)
{
	if (s->nfree) {
		*ret = s->free[--s->nfree];
		return 0;
	}
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 64;
		uint32_t *refs = reallocarray(s->refs, cap + 1, sizeof(*refs)), *left;

		if (!refs)
			return -ENOMEM;
		s->refs = refs;
		left = reallocarray(s->free, cap, sizeof(*left));
		if (!left)
			return -ENOMEM;
		s->free = left;
		s->cap = cap;
	}
	*ret = ++s->n;
	s->refs[*ret] = 0;
	return 0;
}

static void put_back(void *arg, void *p, uint32_t number)
{
	struct numbers *s = arg;

	s->free[s->nfree++] = number;
}

static void numbers_give(struct pf_keyed *k, struct numbers *s, uint32_t number)
{
	if (k->reclaim)
		pf_reclaim_later(k->reclaim, put_back, s, NULL, number);
	else
		put_back(s, NULL, number);
}

/* --- nodes ----------------------------------------------------------------------------------- */

int pf_keyed_new(unsigned words, struct pf_reclaim *reclaim, struct pf_keyed **ret_keyed)
{
	struct pf_keyed *k = pfs_zalloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	assert(words > 0 && words <= PF_KEY_WORDS);
	k->words = words;
	k->reclaim = reclaim;
	k->n = 1;
	*ret_keyed = k;
	return 0;
}

void pf_keyed_free(struct pf_keyed *k)
{
	if (!k)
		return;
	for (unsigned i = 0; i < k->n; i++)
		pf_table_unref(k->node[i].table);
	numbers_release(&k->state);
	numbers_release(&k->entry);
	free(k);
}

int pf_keyed_step(struct pf_keyed *k, unsigned node, unsigned word, bool wait)
{
	const struct node *from = &k->node[node];
	struct node *to = &k->node[k->n];
	int r = 0;

	for (unsigned i = 1; i < k->n; i++)
		if (k->node[i].parent == node && k->node[i].word == word)
			return (int)i;
	if (k->n == PF_KEYED_NODES)
		return -E2BIG;
	*to = (struct node){ .parent = node, .word = word, .known = from->known + 1 };
	/* Only the first word: what is found later must be there to be asked with. */
	to->waits = wait && node == PF_KEYED_ROOT && to->known < k->words;
	if (!to->waits)
		r = pf_table_new(&to->table);
	if (r < 0)
		return r;
	if (to->table && k->reclaim) {
		to->table->retire = pf_reclaim_memory;
		to->table->retire_arg = k->reclaim;
	}
	if (to->known == k->words)
		k->leaf = k->n;
	return (int)k->n++;
}

bool pf_keyed_waits(const struct pf_keyed *k, unsigned node)
{
	return k->node[node].waits;
}

pf_val pf_keyed_ask(struct pf_unit *u, const struct pf_keyed *k, unsigned node, pf_val before,
		    pf_val word)
{
	return pf_find(u, k->node[node].table, before ? before : pf_const(u, 0), word);
}

/* --- keys ------------------------------------------------------------------------------------ */

/* What node i has for the words, when `found` has what the nodes before it have. */
static uint32_t look(const struct pf_keyed *k, unsigned i, const uint32_t *words,
		     const uint32_t *found, uint32_t *ret_before)
{
	const struct node *node = &k->node[i], *parent = &k->node[node->parent];

	*ret_before = parent->waits ? words[parent->word] : found[node->parent];
	return node->table ? pf_table_find(node->table, *ret_before, words[node->word]) : 0;
}

uint32_t pf_keyed_find(const struct pf_keyed *k, const uint32_t *words)
{
	uint32_t found[PF_KEYED_NODES] = { 0 }, before;

	for (unsigned i = 1; i < k->n; i++) {
		found[i] = look(k, i, words, found, &before);
		if (i == k->leaf)
			return found[i];
	}
	return 0;
}

/* Takes the tuple out of the first n nodes, the deepest first: parents stand before their children. */
static void take_out(struct pf_keyed *k, unsigned n, const uint32_t *words)
{
	uint32_t found[PF_KEYED_NODES] = { 0 }, before[PF_KEYED_NODES];

	for (unsigned i = 1; i < n; i++)
		found[i] = look(k, i, words, found, &before[i]);
	for (unsigned i = n; i-- > 1;) {
		const struct node *node = &k->node[i];

		if (!node->table || !found[i])
			continue;
		if (node->known < k->words && --k->state.refs[found[i]])
			continue;
		/* Nothing is made larger by taking away. */
		(void)pf_table_set(node->table, before[i], words[node->word], 0);
		if (node->known < k->words)
			numbers_give(k, &k->state, found[i]);
	}
}

/* One node: finds or makes what it has for the words. */
static int put_in(struct pf_keyed *k, unsigned i, const uint32_t *words, uint32_t entry, uint32_t *found)
{
	const struct node *node = &k->node[i];
	uint32_t before, number = entry;
	int r = 0;

	found[i] = look(k, i, words, found, &before);
	if (!node->table)
		return 0;
	if (found[i]) {
		k->state.refs[found[i]]++;
		return 0;
	}
	if (node->known < k->words) {
		r = numbers_take(&k->state, &number);
		if (r < 0)
			return r;
		k->state.refs[number] = 1;
	}
	r = pf_table_set(node->table, before, words[node->word], number);
	if (r < 0 && node->known < k->words)
		put_back(&k->state, NULL, number);
	found[i] = number;
	return r;
}

int pf_keyed_add(struct pf_keyed *k, const uint32_t *words, uint32_t *ret_entry)
{
	uint32_t found[PF_KEYED_NODES] = { 0 }, entry = pf_keyed_find(k, words);
	int r;

	if (entry) {
		*ret_entry = entry;
		return 0;
	}
	r = numbers_take(&k->entry, &entry);
	for (unsigned i = 1; i < k->n && r == 0; i++) {
		r = put_in(k, i, words, entry, found);
		if (r < 0)
			take_out(k, i, words);
	}
	if (r < 0) {
		if (entry)
			put_back(&k->entry, NULL, entry);
		return r;
	}
	*ret_entry = entry;
	return 0;
}

void pf_keyed_remove(struct pf_keyed *k, const uint32_t *words)
{
	uint32_t entry = pf_keyed_find(k, words);

	if (!entry)
		return;
	take_out(k, k->n, words);
	numbers_give(k, &k->entry, entry);
}
