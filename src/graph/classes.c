#include "graph/classes.h"

/* What a short key needs is in one line of the cache. */
struct pfs_class {
	uint32_t hash;
	uint16_t next; /* in its bucket, or free */
	bool used;
	bool full_name;
	uint64_t last; /* ns, monotonic: its last packet, or when it was made */
	uint64_t packets;
	uint64_t bytes;
	struct pkt_key key;
};

void pfs_classes_lock(struct pfs_classes *set)
{
	pthread_mutex_lock(&set->lock);
}

void pfs_classes_unlock(struct pfs_classes *set)
{
	pthread_mutex_unlock(&set->lock);
}

/* --- the table; lock held ------------------------------------------------------------------------ */

static struct pfs_class *class_at(const struct pfs_classes *set, uint16_t number)
{
	return &set->classes[number - 1];
}

/* The loose bits of a key. */
static uint64_t loose_of(const struct pkt_field *field, const struct pkt_key *key)
{
	return key->word[field->words - 1] & field->loose;
}

/* Keys that differ in their loose bits alone are in one bucket. */
static uint32_t hash_of(const struct pfs_classes *set, const struct pkt_key *key)
{
	struct pkt_key strict = *key;

	strict.word[set->field->words - 1] &= ~set->field->loose;
	return (uint32_t)pfs_hash_words(&set->seed, strict.word, set->field->words);
}

static bool is_alike(const struct pkt_field *field, const struct pkt_key *a, const struct pkt_key *b)
{
	size_t last = field->words - 1;
	uint64_t differ = (a->word[last] ^ b->word[last]) & ~field->loose;

	for (size_t i = 0; i < last; i++)
		differ |= a->word[i] ^ b->word[i];
	return differ == 0;
}

static uint16_t *bucket_of(const struct pfs_classes *set, uint32_t hash)
{
	return &set->buckets[hash & (set->nbuckets - 1)];
}

/* The next in the bucket, from `number` on, whose key is alike. */
static uint16_t alike_from(const struct pfs_classes *set, uint16_t number, uint32_t hash,
			   const struct pkt_key *key)
{
	while (number) {
		const struct pfs_class *class_ = class_at(set, number);

		if (class_->hash == hash && is_alike(set->field, &class_->key, key))
			break;
		number = class_->next;
	}
	return number;
}

/* 0: there is none left. */
static uint16_t class_make(struct pfs_classes *set, uint32_t hash, const struct pkt_key *key,
			   bool full_name, uint64_t now)
{
	uint16_t *bucket = bucket_of(set, hash), number = set->free;

	if (number)
		set->free = class_at(set, number)->next;
	else if (set->used < set->max)
		number = (uint16_t)++set->used;
	else
		return 0;
	*class_at(set, number) = (struct pfs_class){
		.key = *key,
		.last = now,
		.hash = hash,
		.next = *bucket,
		.used = true,
		.full_name = full_name,
	};
	*bucket = number;
	pfs_counter_add(&set->n, 1);
	pfs_counter_add(&set->changes, 1);
	if (set->beside)
		set->beside->enter(set->beside_arg, number, key);
	return number;
}

uint16_t pfs_classes_of(struct pfs_classes *set, const struct pkt_key *key, uint32_t len, uint64_t now)
{
	uint64_t loose = loose_of(set->field, key);
	uint32_t hash = hash_of(set, key);
	uint16_t number = alike_from(set, *bucket_of(set, hash), hash, key), unclaimed = 0;
	bool taken = false; /* its brief name, by a key that is alike */
	struct pfs_class *class_;

	for (; number; number = alike_from(set, class_->next, hash, key)) {
		uint64_t has;

		class_ = class_at(set, number);
		has = loose_of(set->field, &class_->key);
		if (has == loose)
			break;
		if (has == 0)
			unclaimed = number;
		taken |= !class_->full_name;
	}
	if (!number && unclaimed) {
		number = unclaimed;
		class_at(set, number)->key.word[set->field->words - 1] |= loose;
	}
	if (!number)
		number = class_make(set, hash, key, taken, now);
	if (!number) {
		pfs_counter_add(&set->full, 1);
		return 0;
	}
	class_ = class_at(set, number);
	class_->last = now;
	class_->packets++;
	class_->bytes += len;
	return number;
}

uint16_t pfs_classes_seek(struct pfs_classes *set, const struct pkt_key *key)
{
	uint32_t hash = hash_of(set, key);

	return alike_from(set, *bucket_of(set, hash), hash, key);
}

void pfs_classes_took(struct pfs_classes *set, uint16_t class_, uint32_t len, uint64_t now)
{
	struct pfs_class *took;

	pfs_classes_lock(set);
	took = class_ >= 1 && class_ <= set->used ? class_at(set, class_) : NULL;
	if (took && took->used) {
		took->last = now;
		took->packets++;
		took->bytes += len;
	}
	pfs_classes_unlock(set);
}

/* --- names --------------------------------------------------------------------------------------- */

/* The class of exactly that name. */
static uint16_t find_named(const struct pfs_classes *set, uint32_t hash, const struct pkt_key *key,
			   bool full)
{
	uint16_t number = alike_from(set, *bucket_of(set, hash), hash, key);

	for (; number; number = alike_from(set, class_at(set, number)->next, hash, key)) {
		const struct pfs_class *class_ = class_at(set, number);

		if (class_->full_name == full &&
		    (!full || loose_of(set->field, &class_->key) == loose_of(set->field, key)))
			break;
	}
	return number;
}

/* Is there a class for this very key under its brief name? */
static bool is_brief(const struct pfs_classes *set, uint32_t hash, const struct pkt_key *key)
{
	uint16_t number = find_named(set, hash, key, false);

	return number &&
	       loose_of(set->field, &class_at(set, number)->key) == loose_of(set->field, key);
}

static int find_locked(struct pfs_classes *set, const struct pkt_key *key, bool full, bool make,
		       uint16_t *ret_class, struct pfs_diag *diag)
{
	uint32_t hash = hash_of(set, key);
	uint16_t number = find_named(set, hash, key, full);
	char text[PKT_FIELD_NAME_SIZE];

	if (!number && !make)
		return -ENOENT;
	if (!number && full && is_brief(set, hash, key)) {
		set->field->text(key, true, text);
		return pfs_diag_set(diag, EINVAL, "this class is there already, as '%s'", text);
	}
	if (!number)
		number = class_make(set, hash, key, full, pfs_clock_mono());
	if (!number)
		return pfs_diag_set(diag, ENOSPC, "there are %zu classes already (max=)", set->max);
	*ret_class = number;
	return 0;
}

int pfs_classes_find(struct pfs_classes *set, const char *name, bool make, uint16_t *ret_class,
		     struct pfs_diag *diag)
{
	char text[PKT_FIELD_NAME_SIZE];
	struct pkt_key key = { 0 };
	int r;

	if (!set->field->parse(name, &key))
		return -ENOENT;
	set->field->text(&key, false, text);
	if (strcmp(text, name) != 0)
		return pfs_diag_set(diag, EINVAL, "this class is called '%s'", text);
	pfs_classes_lock(set);
	r = find_locked(set, &key, loose_of(set->field, &key) != 0, make, ret_class, diag);
	pfs_classes_unlock(set);
	return r;
}

int pfs_classes_name(struct pfs_classes *set, uint16_t class_, char ret_name[PKT_FIELD_NAME_SIZE])
{
	struct pfs_class copy = { 0 };

	pfs_classes_lock(set);
	if (class_ >= 1 && class_ <= set->used)
		copy = *class_at(set, class_);
	pfs_classes_unlock(set);
	if (!copy.used)
		return -ENOENT;
	set->field->text(&copy.key, !copy.full_name, ret_name);
	return 0;
}

/* What somebody beside has counted of it. Lock held. */
static struct pfs_class_tally tally_beside(const struct pfs_classes *set, uint32_t number)
{
	struct pfs_class_tally tally = { 0 };

	if (set->beside && !set->unheeded)
		set->beside->count(set->beside_arg, number, &tally);
	return tally;
}

/* --- looking and forgetting ---------------------------------------------------------------------- */

static bool is_idle(const struct pfs_classes *set, uint16_t number, uint64_t now)
{
	struct pfs_class_tally beside = tally_beside(set, number);
	uint64_t last = pfs_max64(class_at(set, number)->last, beside.last);

	return set->expire && now > last && now - last >= set->expire;
}

size_t pfs_classes_list(struct pfs_classes *set, uint16_t after, bool idle, uint16_t *ret_classes,
			size_t max)
{
	uint64_t now = pfs_clock_mono();
	size_t n = 0;

	pfs_classes_lock(set);
	for (size_t i = after + 1u; i <= set->used && n < max; i++) {
		const struct pfs_class *class_ = class_at(set, (uint16_t)i);

		if (class_->used && (!idle || is_idle(set, (uint16_t)i, now)))
			ret_classes[n++] = (uint16_t)i;
	}
	pfs_classes_unlock(set);
	return n;
}

/* Lock held. */
static void class_free(struct pfs_classes *set, uint16_t number)
{
	struct pfs_class *gone = class_at(set, number);
	uint16_t *at = bucket_of(set, gone->hash);

	if (set->beside)
		set->beside->leave(set->beside_arg, number, &gone->key);
	while (*at != number)
		at = &class_at(set, *at)->next;
	*at = gone->next;
	*gone = (struct pfs_class){ .next = set->free };
	set->free = number;
	pfs_counter_add(&set->n, (uint64_t)-1);
	pfs_counter_add(&set->changes, 1);
}

void pfs_classes_forget(struct pfs_classes *set, uint16_t class_, bool idle)
{
	pfs_classes_lock(set);
	if (class_at(set, class_)->used && (!idle || is_idle(set, class_, pfs_clock_mono())))
		class_free(set, class_);
	pfs_classes_unlock(set);
}

void pfs_classes_count(struct pfs_classes *set, uint16_t class_, uint64_t *ret_packets,
		       uint64_t *ret_bytes)
{
	struct pfs_class_tally beside;

	pfs_classes_lock(set);
	beside = tally_beside(set, class_);
	*ret_packets = class_at(set, class_)->packets + beside.packets;
	*ret_bytes = class_at(set, class_)->bytes + beside.bytes;
	pfs_classes_unlock(set);
}

uint64_t pfs_classes_unfit(struct pfs_classes *set, enum pkt_unfit why)
{
	uint64_t n;

	pfs_classes_lock(set);
	n = pfs_counter_get(&set->unfit[why]) + tally_beside(set, PFS_CLASSES_UNFIT + why).packets;
	pfs_classes_unlock(set);
	return n;
}

int pfs_classes_key(struct pfs_classes *set, uint16_t class_, struct pkt_key *ret_key)
{
	bool used = false;

	pfs_classes_lock(set);
	if (class_ >= 1 && class_ <= set->used) {
		used = class_at(set, class_)->used;
		*ret_key = class_at(set, class_)->key;
	}
	pfs_classes_unlock(set);
	return used ? 0 : -ENOENT;
}

/* --- who counts beside --------------------------------------------------------------------------- */

/* His numbers become the set's own. Lock held. */
static void take_over(struct pfs_classes *set)
{
	for (size_t i = 1; i <= set->used; i++) {
		struct pfs_class *class_ = class_at(set, (uint16_t)i);
		struct pfs_class_tally beside = tally_beside(set, (uint32_t)i);

		class_->packets += beside.packets;
		class_->bytes += beside.bytes;
		class_->last = pfs_max64(class_->last, beside.last);
	}
	for (unsigned i = 1; i < PKT_UNFIT_COUNT_; i++)
		pfs_counter_add(&set->unfit[i], tally_beside(set, PFS_CLASSES_UNFIT + i).packets);
}

void pfs_classes_follow(struct pfs_classes *set, const struct pfs_classes_beside *beside, void *arg)
{
	pfs_classes_lock(set);
	if (set->beside) {
		take_over(set);
		set->beside->left(set->beside_arg);
	}
	set->beside = beside;
	set->beside_arg = arg;
	for (size_t i = 1; i <= set->used && beside; i++)
		if (class_at(set, (uint16_t)i)->used)
			beside->enter(arg, (uint32_t)i, &class_at(set, (uint16_t)i)->key);
	pfs_classes_unlock(set);
}

void pfs_classes_heed(struct pfs_classes *set, bool yes)
{
	pfs_classes_lock(set);
	if (set->beside && !yes)
		take_over(set);
	else if (set->beside && set->unheeded)
		set->beside->restart(set->beside_arg);
	set->unheeded = !yes;
	pfs_classes_unlock(set);
}

/* --- size ---------------------------------------------------------------------------------------- */

static int tables_new(size_t max, struct pfs_class **ret_classes, uint16_t **ret_buckets,
		      size_t *ret_nbuckets)
{
	PFS_FREE struct pfs_class *classes = pfs_zalloc(max, sizeof(*classes));
	PFS_FREE uint16_t *buckets = NULL;
	size_t n = 64;

	while (n < max)
		n *= 2;
	buckets = pfs_zalloc(n, sizeof(*buckets));
	if (!classes || !buckets)
		return -ENOMEM;
	*ret_classes = TAKE_PTR(classes);
	*ret_buckets = TAKE_PTR(buckets);
	*ret_nbuckets = n;
	return 0;
}

int pfs_classes_init(struct pfs_classes *set, const struct pkt_field *field, size_t max, uint64_t expire)
{
	int r;

	assert(max >= 1 && max <= PFS_CLASSES_MAX);
	*set = (struct pfs_classes){ .field = field, .max = max, .expire = expire };
	r = tables_new(max, &set->classes, &set->buckets, &set->nbuckets);
	if (r < 0)
		return r;
	pfs_seed_init(&set->seed);
	pthread_mutex_init(&set->lock, NULL);
	return 0;
}

void pfs_classes_release(struct pfs_classes *set)
{
	assert(!set->beside);
	pthread_mutex_destroy(&set->lock);
	free(set->classes);
	free(set->buckets);
}

/* Numbers given out stay what they are. */
static void tables_move(struct pfs_classes *set, struct pfs_class *classes, uint16_t *buckets,
			size_t nbuckets)
{
	memcpy(classes, set->classes, set->used * sizeof(*classes));
	set->classes = classes;
	set->buckets = buckets;
	set->nbuckets = nbuckets;
	for (size_t i = 1; i <= set->used; i++) {
		struct pfs_class *class_ = class_at(set, (uint16_t)i);
		uint16_t *bucket = bucket_of(set, class_->hash);

		if (!class_->used)
			continue;
		class_->next = *bucket;
		*bucket = (uint16_t)i;
	}
}

int pfs_classes_set(struct pfs_classes *set, size_t max, uint64_t expire, struct pfs_diag *diag)
{
	PFS_FREE struct pfs_class *classes = NULL, *old = NULL;
	PFS_FREE uint16_t *buckets = NULL, *old_buckets = NULL;
	size_t nbuckets;
	int r = tables_new(max, &classes, &buckets, &nbuckets);

	if (r < 0)
		return pfs_diag_set(diag, ENOMEM, "no memory for %zu classes", max);
	pfs_classes_lock(set);
	if (max < set->used) {
		r = pfs_diag_set(diag, EBUSY, "max=%zu is too small: classes have numbers up to %zu",
				 max, set->used);
	} else {
		old = set->classes;
		old_buckets = set->buckets;
		tables_move(set, TAKE_PTR(classes), TAKE_PTR(buckets), nbuckets);
		set->max = max;
		set->expire = expire;
	}
	pfs_classes_unlock(set);
	return r;
}
