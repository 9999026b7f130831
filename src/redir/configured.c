#include "redir/configured.h"

#include <stdio.h>

#include "redir/chain_i.h"
#include "redir/hook_i.h"

struct rd_config {
	pthread_mutex_t lock;
	_Atomic uint64_t serial;
	/* Under lock. */
	struct rd_filter **filters; /* by priority; a reference each */
	size_t n_filters;
	struct rd_chain **chains; /* of this serial; a reference each */
	size_t n_chains;
};

const struct rd_group rd_groups[] = {
#define GROUP(name, low, high, summary) { #name, summary, low, high },
#include "redir/groups.def"
#undef GROUP
};
const size_t rd_n_groups = ARRAY_SIZE(rd_groups);

const struct rd_group *rd_group_of(int priority)
{
	for (size_t i = 0; i < rd_n_groups; i++)
		if (priority >= rd_groups[i].low && priority <= rd_groups[i].high)
			return &rd_groups[i];
	return NULL;
}

int rd_policy_parse(const char *text, int *ret_policy)
{
	if (strcmp(text, "open") == 0) {
		*ret_policy = RD_FAIL_OPEN;
		return 0;
	}
	if (strcmp(text, "closed") == 0) {
		*ret_policy = RD_FAIL_CLOSED;
		return 0;
	}
	for (int i = 1; i < 134; i++) {
		const char *name = strerrorname_np(i);

		if (name && strcmp(name, text) == 0) {
			*ret_policy = -i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *rd_policy_name(int policy)
{
	const char *name;

	if (policy == RD_FAIL_OPEN)
		return "open";
	if (policy == RD_FAIL_CLOSED)
		return "closed";
	name = strerrorname_np(-policy);
	return name ? name : "EIO";
}

/* --- filters ----------------------------------------------------------------------------------- */

struct rd_filter *rd_filter_ref(struct rd_filter *filter)
{
	atomic_fetch_add(&filter->refs, 1);
	return filter;
}

static void taps_unref(struct rd_taps *taps)
{
	if (!taps || atomic_fetch_sub(&taps->refs, 1) > 1)
		return;
	for (size_t i = 0; i < taps->n; i++)
		rd_tap_unref(taps->tap[i]);
	free(taps);
}

void rd_filter_unref(struct rd_filter *filter)
{
	if (!filter || atomic_fetch_sub(&filter->refs, 1) > 1)
		return;
	rd_hook_unref(filter->hook);
	taps_unref(filter->taps);
	rd_rules_unref(filter->rules);
	pthread_mutex_destroy(&filter->lock);
	free(filter);
}

struct rd_hook *rd_filter_hook(struct rd_filter *filter)
{
	struct rd_hook *hook;

	pthread_mutex_lock(&filter->lock);
	hook = filter->hook ? rd_hook_ref(filter->hook) : NULL;
	pthread_mutex_unlock(&filter->lock);
	return hook;
}

struct rd_hook *rd_filter_enter(struct rd_filter *filter)
{
	struct rd_hook *hook;

	/* As one: who takes the hook away and then waits until nobody is in it must not miss us. */
	pthread_mutex_lock(&filter->lock);
	hook = filter->hook ? rd_hook_ref(filter->hook) : NULL;
	if (hook)
		rd_hook_enter(hook);
	pthread_mutex_unlock(&filter->lock);
	return hook;
}

void rd_filter_tell(struct rd_filter *filter, const struct rd_operation *operation)
{
	struct rd_taps *taps;

	pthread_mutex_lock(&filter->lock);
	taps = filter->taps;
	if (taps)
		atomic_fetch_add(&taps->refs, 1);
	pthread_mutex_unlock(&filter->lock);
	for (size_t i = 0; taps && i < taps->n; i++)
		rd_tap_put(taps->tap[i], operation);
	taps_unref(taps);
}

static struct rd_filter *filter_new(const char *name)
{
	struct rd_filter *filter = pfs_zalloc(1, sizeof(*filter));

	if (!filter)
		return NULL;
	filter->refs = 1;
	pthread_mutex_init(&filter->lock, NULL);
	snprintf(filter->name, sizeof(filter->name), "%s", name);
	return filter;
}

static struct rd_filter *find(struct rd_config *config, const char *name)
{
	for (size_t i = 0; i < config->n_filters; i++)
		if (strcmp(config->filters[i]->name, name) == 0)
			return config->filters[i];
	return NULL;
}

/* --- configurations ---------------------------------------------------------------------------- */

int rd_config_new(struct rd_config **ret_config)
{
	struct rd_config *config = pfs_zalloc(1, sizeof(*config));

	if (!config)
		return -ENOMEM;
	pthread_mutex_init(&config->lock, NULL);
	config->serial = 1;
	*ret_config = config;
	return 0;
}

/* Chains are made anew when they are asked for. Locked. */
static void changed(struct rd_config *config)
{
	for (size_t i = 0; i < config->n_chains; i++)
		rd_chain_unref(config->chains[i]);
	free(config->chains);
	config->chains = NULL;
	config->n_chains = 0;
	atomic_fetch_add(&config->serial, 1);
}

static void filters_gone(struct rd_filter **filters, size_t n)
{
	for (size_t i = 0; i < n; i++)
		rd_filter_unref(filters[i]);
	free(filters);
}

void rd_config_free(struct rd_config *config)
{
	if (!config)
		return;
	changed(config);
	for (size_t i = 0; i < config->n_filters; i++)
		config->filters[i]->gone = true;
	filters_gone(config->filters, config->n_filters);
	pthread_mutex_destroy(&config->lock);
	free(config);
}

static int check_name(const char *name, struct pfs_diag *diag)
{
	size_t len = strnlen(name, RD_NAME_MAX);
	bool good = len < RD_NAME_MAX && ((name[0] | 0x20) >= 'a' && (name[0] | 0x20) <= 'z');

	for (size_t i = 1; good && i < len; i++) {
		char c = name[i];

		good = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') ||
		       c == '_' || c == '-' || c == '.';
	}
	if (good)
		return 0;
	return pfs_diag_set(diag, EINVAL,
			    "a filter's name is a letter, then letters, digits, \"_\", \"-\", \".\", "
			    "and shorter than %d",
			    RD_NAME_MAX);
}

static int by_name(const void *a, const void *b)
{
	const struct rd_filter_desc *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int by_number(const void *a, const void *b)
{
	const struct rd_filter_desc *const *x = a, *const *y = b;

	if ((*x)->priority != (*y)->priority)
		return (*x)->priority < (*y)->priority ? -1 : 1;
	return by_name(a, b);
}

/* There may be a thousand: neighbours are compared, not each with each. */
static int check_unique(const struct rd_filter_desc *desc, size_t n, struct pfs_diag *diag)
{
	PFS_FREE const struct rd_filter_desc **sorted =
		pfs_zalloc(n, sizeof(const struct rd_filter_desc *));

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &desc[i];
	qsort(sorted, n, sizeof(const struct rd_filter_desc *), by_name);
	for (size_t i = 1; i < n; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			return pfs_diag_set(diag, EEXIST, "%s is there twice", sorted[i]->name);
	qsort(sorted, n, sizeof(const struct rd_filter_desc *), by_number);
	for (size_t i = 1; i < n; i++)
		if (sorted[i - 1]->priority == sorted[i]->priority)
			return pfs_diag_set(diag, EEXIST, "%s and %s have the same priority, %d",
					    sorted[i - 1]->name, sorted[i]->name, sorted[i]->priority);
	return 0;
}

static int check(const struct rd_filter_desc *desc, size_t n, struct pfs_diag *diag)
{
	int r;

	if (n > RD_FILTERS_MAX)
		return pfs_diag_set(diag, E2BIG, "%zu filters are more than %d", n, RD_FILTERS_MAX);
	for (size_t i = 0; i < n; i++) {
		r = check_name(desc[i].name, diag);
		if (r < 0)
			return r;
		if (desc[i].priority < 0)
			return pfs_diag_set(diag, EINVAL, "%s: a priority is not below 0",
					    desc[i].name);
		if (desc[i].deadline > RD_DEADLINE_MAX)
			return pfs_diag_set(diag, EINVAL, "%s: a deadline is not above an hour",
					    desc[i].name);
		if (desc[i].policy > RD_FAIL_OPEN || desc[i].policy < -4095)
			return pfs_diag_set(diag, EINVAL, "%s: there is no policy %d", desc[i].name,
					    desc[i].policy);
	}
	return n > 1 ? check_unique(desc, n, diag) : 0;
}

static int by_priority(const void *a, const void *b)
{
	const struct rd_filter *const *x = a, *const *y = b;

	return (*x)->priority < (*y)->priority ? -1 : (*x)->priority > (*y)->priority;
}

/* Who is not in the configuration any more is not asked: its hook may go. Locked; the hook is the caller's. */
static struct rd_hook *hook_take(struct rd_filter *filter)
{
	struct rd_hook *hook;

	pthread_mutex_lock(&filter->lock);
	hook = TAKE_PTR(filter->hook);
	pthread_mutex_unlock(&filter->lock);
	return hook;
}

/* Nothing fails from here on. Locked. */
static void take(struct rd_config *config, const struct rd_filter_desc *desc, size_t n,
		 struct rd_filter **filters, struct rd_rules **rules)
{
	uint64_t next = config->serial + 1;

	for (size_t i = 0; i < n; i++) {
		struct rd_filter *filter = filters[i];

		filter->serial = next;
		filter->active = desc[i].active;
		filter->policy = desc[i].policy != 0 ? desc[i].policy : RD_FAIL_DEFAULT;
		filter->deadline = desc[i].deadline != 0 ? desc[i].deadline : RD_DEADLINE;
		filter->priority = desc[i].priority;
		if (desc[i].wants)
			filter->wants = *desc[i].wants;
		rd_rules_unref(filter->rules);
		filter->rules = TAKE_PTR(rules[i]);
	}
	/* One that stays is never gone, not for a moment: reads and writes that see it gone fail. */
	for (size_t i = 0; i < config->n_filters; i++) {
		if (config->filters[i]->serial == next)
			continue;
		config->filters[i]->gone = true;
		rd_hook_unref(hook_take(config->filters[i]));
	}
	if (n > 0)
		qsort(filters, n, sizeof(filters[0]), by_priority);
	filters_gone(config->filters, config->n_filters);
	config->filters = filters;
	config->n_filters = n;
	changed(config);
}

static int by_filter_name(const void *a, const void *b)
{
	const struct rd_filter *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int compare_name(const void *name, const void *filter)
{
	return strcmp(name, (*(struct rd_filter *const *)filter)->name);
}

/* Those of these names that there are, and new ones. Locked. */
static int filters_for(const struct rd_config *config, const struct rd_filter_desc *desc, size_t n,
		       struct rd_filter **ret_filters)
{
	PFS_FREE struct rd_filter **old = pfs_zalloc(config->n_filters, sizeof(struct rd_filter *));

	if (!old)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_filters; i++)
		old[i] = config->filters[i];
	qsort(old, config->n_filters, sizeof(struct rd_filter *), by_filter_name);
	for (size_t i = 0; i < n; i++) {
		struct rd_filter **found = bsearch(desc[i].name, old, config->n_filters,
						   sizeof(struct rd_filter *), compare_name);

		ret_filters[i] = found ? rd_filter_ref(*found) : filter_new(desc[i].name);
		if (!ret_filters[i])
			return -ENOMEM;
	}
	return 0;
}

int rd_config_replace(struct rd_config *config, const struct rd_filter_desc *desc, size_t n,
		      struct pfs_diag *diag)
{
	struct rd_filter **filters = NULL;
	struct rd_rules **rules = NULL;
	int r = check(desc, n, diag);

	if (r < 0)
		return r;
	filters = pfs_zalloc(n, sizeof(struct rd_filter *));
	rules = pfs_zalloc(n, sizeof(struct rd_rules *));
	if (!filters || !rules) {
		free(filters);
		free(rules);
		return pfs_diag_set(diag, ENOMEM, "no memory for %zu filters", n);
	}
	for (size_t i = 0; i < n && r == 0; i++)
		r = rd_rules_new(desc[i].rules, desc[i].n_rules, &rules[i], diag);
	pthread_mutex_lock(&config->lock);
	if (r == 0 && filters_for(config, desc, n, filters) < 0)
		r = pfs_diag_set(diag, ENOMEM, "no memory for %zu filters", n);
	if (r == 0)
		take(config, desc, n, TAKE_PTR(filters), rules);
	pthread_mutex_unlock(&config->lock);
	if (filters)
		filters_gone(filters, n);
	for (size_t i = 0; i < n; i++)
		rd_rules_unref(rules[i]);
	free(rules);
	return r;
}

/* Room for one more filter, and the other one of that name or priority. Locked. */
static int may_add(struct rd_config *config, const struct rd_filter_desc *desc,
		   struct rd_filter **ret_old, struct pfs_diag *diag)
{
	struct rd_filter **grown;

	*ret_old = NULL;
	for (size_t i = 0; i < config->n_filters; i++) {
		struct rd_filter *other = config->filters[i];

		if (strcmp(other->name, desc->name) == 0 && !other->hook)
			*ret_old = other;
		else if (strcmp(other->name, desc->name) == 0)
			return pfs_diag_set(diag, EEXIST, "there is a filter %s already", desc->name);
		else if (other->priority == desc->priority)
			return pfs_diag_set(diag, EEXIST, "%s has the priority %d already",
					    other->name, desc->priority);
	}
	if (*ret_old)
		return 0;
	if (config->n_filters == RD_FILTERS_MAX)
		return pfs_diag_set(diag, E2BIG, "there are %d filters already", RD_FILTERS_MAX);
	grown = reallocarray(config->filters, config->n_filters + 1, sizeof(struct rd_filter *));
	if (!grown)
		return -ENOMEM;
	config->filters = grown;
	return 0;
}

int rd_config_add(struct rd_config *config, const struct rd_filter_desc *desc, struct pfs_diag *diag)
{
	struct rd_rules *rules = NULL;
	struct rd_filter *filter;
	int r = check(desc, 1, diag);

	if (r == 0)
		r = rd_rules_new(desc->rules, desc->n_rules, &rules, diag);
	if (r < 0)
		return r;
	pthread_mutex_lock(&config->lock);
	r = may_add(config, desc, &filter, diag);
	if (r == 0 && !filter) {
		filter = filter_new(desc->name);
		r = filter ? 0 : -ENOMEM;
		if (filter)
			config->filters[config->n_filters++] = filter;
	}
	if (r == 0) {
		if (!filter->rules || desc->n_rules > 0) {
			rd_rules_unref(filter->rules);
			filter->rules = TAKE_PTR(rules);
		}
		filter->active = desc->active;
		filter->policy = desc->policy != 0 ? desc->policy : RD_FAIL_DEFAULT;
		filter->deadline = desc->deadline != 0 ? desc->deadline : RD_DEADLINE;
		filter->priority = desc->priority;
		qsort(config->filters, config->n_filters, sizeof(struct rd_filter *), by_priority);
		changed(config);
	}
	pthread_mutex_unlock(&config->lock);
	rd_rules_unref(rules);
	return r;
}

int rd_config_remove(struct rd_config *config, const char *name)
{
	struct rd_filter *filter;
	size_t i = 0;

	pthread_mutex_lock(&config->lock);
	filter = find(config, name);
	if (filter) {
		while (config->filters[i] != filter)
			i++;
		memmove(&config->filters[i], &config->filters[i + 1],
			(--config->n_filters - i) * sizeof(struct rd_filter *));
		filter->gone = true;
		changed(config);
	}
	pthread_mutex_unlock(&config->lock);
	rd_filter_unref(filter);
	return filter ? 0 : -ENOENT;
}

int rd_config_activate(struct rd_config *config, const char *name, bool active)
{
	struct rd_filter *filter;

	pthread_mutex_lock(&config->lock);
	filter = find(config, name);
	if (filter && filter->active != active) {
		filter->active = active;
		changed(config);
	}
	pthread_mutex_unlock(&config->lock);
	return filter ? 0 : -ENOENT;
}

static int add_rule(struct rd_filter *filter, const struct rd_rule_desc *rule, struct pfs_diag *diag)
{
	PFS_FREE struct rd_rule_desc *list = NULL;
	struct rd_rules *new;
	size_t n = 0;
	const struct rd_rule_desc *old = filter->rules ? rd_rules_list(filter->rules, &n) : NULL;
	int r;

	list = pfs_zalloc(n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	if (n > 0)
		memcpy(list, old, n * sizeof(*list));
	list[n] = *rule;
	r = rd_rules_new(list, n + 1, &new, diag);
	if (r < 0)
		return r;
	rd_rules_unref(filter->rules);
	filter->rules = new;
	return 0;
}

int rd_config_add_rule(struct rd_config *config, const char *name, const struct rd_rule_desc *rule,
		       struct pfs_diag *diag)
{
	struct rd_filter *filter;
	int r = -ENOENT;

	pthread_mutex_lock(&config->lock);
	filter = find(config, name);
	if (filter)
		r = add_rule(filter, rule, diag);
	if (r == 0)
		changed(config);
	pthread_mutex_unlock(&config->lock);
	return r;
}

static void taps_set(struct rd_filter *filter, struct rd_taps *taps)
{
	struct rd_taps *old;

	pthread_mutex_lock(&filter->lock);
	old = filter->taps;
	filter->taps = taps;
	filter->tapped = taps;
	pthread_mutex_unlock(&filter->lock);
	taps_unref(old);
}

int rd_config_tap(struct rd_config *config, const char *name, struct rd_tap *const *tap, size_t n)
{
	struct rd_taps *taps = NULL;
	struct rd_filter *filter;

	if (n) {
		taps = pfs_zalloc(1, sizeof(*taps) + n * sizeof(taps->tap[0]));
		if (!taps)
			return -ENOMEM;
		taps->refs = 1;
		taps->n = n;
		for (size_t i = 0; i < n; i++)
			taps->tap[i] = rd_tap_ref(tap[i]);
	}
	pthread_mutex_lock(&config->lock);
	filter = find(config, name);
	if (filter)
		taps_set(filter, TAKE_PTR(taps));
	pthread_mutex_unlock(&config->lock);
	taps_unref(taps);
	return filter ? 0 : -ENOENT;
}

int rd_config_hook(struct rd_config *config, const char *name, struct rd_hook *hook)
{
	struct rd_filter *filter;
	struct rd_hook *old = NULL;
	int r = 0;

	pthread_mutex_lock(&config->lock);
	filter = find(config, name);
	if (!filter) {
		pthread_mutex_unlock(&config->lock);
		return -ENOENT;
	}
	pthread_mutex_lock(&filter->lock);
	if (hook && filter->hook) {
		r = -EBUSY;
	} else {
		old = filter->hook;
		filter->hook = hook ? rd_hook_ref(hook) : NULL;
	}
	pthread_mutex_unlock(&filter->lock);
	if (r == 0 && hook)
		filter->wants = hook->wants;
	if (r == 0)
		changed(config);
	pthread_mutex_unlock(&config->lock);
	rd_hook_unref(old);
	return r;
}

int rd_config_unhook(struct rd_config *config, const char *name, struct rd_hook *hook)
{
	struct rd_filter *filter;
	bool mine = false;

	pthread_mutex_lock(&config->lock);
	filter = find(config, name);
	if (filter) {
		pthread_mutex_lock(&filter->lock);
		mine = filter->hook == hook;
		if (mine)
			filter->hook = NULL;
		pthread_mutex_unlock(&filter->lock);
	}
	if (mine)
		changed(config);
	pthread_mutex_unlock(&config->lock);
	if (mine)
		rd_hook_unref(hook);
	return mine ? 0 : -ENOENT;
}

void rd_config_touch(struct rd_config *config)
{
	pthread_mutex_lock(&config->lock);
	changed(config);
	pthread_mutex_unlock(&config->lock);
}

void rd_hook_set_wants(struct rd_config *config, struct rd_hook *hook, const struct rd_wants *wants)
{
	pthread_mutex_lock(&config->lock);
	hook->wants = *wants;
	for (size_t i = 0; i < config->n_filters; i++) {
		struct rd_filter *filter = config->filters[i];

		pthread_mutex_lock(&filter->lock);
		if (filter->hook == hook)
			filter->wants = *wants;
		pthread_mutex_unlock(&filter->lock);
	}
	changed(config);
	pthread_mutex_unlock(&config->lock);
}

int rd_config_stat(struct rd_config *config, const char *name, struct rd_filter_stat *ret_stat)
{
	struct rd_filter *filter;

	pthread_mutex_lock(&config->lock);
	filter = find(config, name);
	if (filter) {
		pthread_mutex_lock(&filter->lock);
		*ret_stat = (struct rd_filter_stat){
			.active = filter->active,
			.hooked = filter->hook,
			.pres = filter->pres,
			.posts = filter->posts,
			.stops = filter->stops,
			.failures = filter->failures,
			.late = filter->late,
			.skipped = filter->skipped,
			.time_ns = filter->time_ns,
		};
		pthread_mutex_unlock(&filter->lock);
	}
	pthread_mutex_unlock(&config->lock);
	return filter ? 0 : -ENOENT;
}

uint64_t rd_config_serial(const struct rd_config *config)
{
	return atomic_load(&((struct rd_config *)config)->serial);
}

/* --- chains ------------------------------------------------------------------------------------ */

static const struct rd_chain empty_chain;

static bool same(const struct rd_chain *chain, struct rd_filter *const *filters, size_t n)
{
	if (chain->n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (chain->entry[i].filter != filters[i])
			return false;
	return true;
}

static struct rd_chain *chain_new(struct rd_filter *const *filters, size_t n)
{
	struct rd_chain *chain = pfs_zalloc(1, sizeof(*chain) + n * sizeof(chain->entry[0]));

	if (!chain)
		return NULL;
	chain->refs = 1;
	chain->n = n;
	for (size_t i = 0; i < n; i++) {
		chain->entry[i].filter = rd_filter_ref(filters[i]);
		chain->entry[i].wants = filters[i]->wants;
		for (size_t op = 0; op < RD_OPS; op++)
			chain->any[op] |= filters[i]->wants.pre[op] | filters[i]->wants.post[op];
	}
	return chain;
}

/* Of this serial: the one with these filters. Locked. */
static const struct rd_chain *chain_of(struct rd_config *config, struct rd_filter *const *filters,
				       size_t n)
{
	struct rd_chain *chain, **grown;

	for (size_t i = 0; i < config->n_chains; i++)
		if (same(config->chains[i], filters, n))
			return rd_chain_ref(config->chains[i]);
	chain = chain_new(filters, n);
	grown = chain ? reallocarray(config->chains, config->n_chains + 1, sizeof(struct rd_chain *))
		      : NULL;
	if (!grown)
		return chain; /* not shared then, or NULL */
	config->chains = grown;
	config->chains[config->n_chains++] = chain;
	return rd_chain_ref(chain);
}

const struct rd_chain *rd_chain_find(struct rd_config *config, const char *path)
{
	struct rd_filter *filters[RD_FILTERS_MAX];
	const struct rd_chain *chain = &empty_chain;
	size_t n = 0;

	pthread_mutex_lock(&config->lock);
	for (size_t i = 0; i < config->n_filters; i++)
		if (config->filters[i]->active && rd_rules_cover(config->filters[i]->rules, path))
			filters[n++] = config->filters[i];
	if (n > 0)
		chain = chain_of(config, filters, n);
	pthread_mutex_unlock(&config->lock);
	return chain;
}

const struct rd_chain *rd_chain_ref(const struct rd_chain *chain)
{
	if (chain != &empty_chain)
		atomic_fetch_add(&((struct rd_chain *)chain)->refs, 1);
	return chain;
}

void rd_chain_unref(const struct rd_chain *chain)
{
	struct rd_chain *mine = (struct rd_chain *)chain;

	if (!chain || chain == &empty_chain || atomic_fetch_sub(&mine->refs, 1) > 1)
		return;
	for (size_t i = 0; i < mine->n; i++)
		rd_filter_unref(mine->entry[i].filter);
	free(mine);
}

bool rd_chain_wants(const struct rd_chain *chain, enum rd_op op, mode_t type)
{
	return rd_mask_has(chain->any[op], type);
}

bool rd_chain_wants_data(const struct rd_chain *chain)
{
	return rd_mask_has(chain->any[RD_READ] | chain->any[RD_WRITE], S_IFREG);
}
