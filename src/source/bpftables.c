#include "source/bpftables.h"

#include <sys/mman.h>

#include "base/hash.h"
#include "source/bpf.h"

#define BITS_A_KEY 16u
#define LOG_MIN 12u
#define LOG_MAX 24u

static void set_bit(struct kbpf_table *t, uint32_t a, uint32_t b)
{
	uint32_t bit = pf_ebpf_bit(&t->where, a, b);

	atomic_fetch_or_explicit(&t->bits[bit / 8], (uint8_t)(1u << bit % 8), memory_order_release);
}

static void follow(void *arg, uint32_t a, uint32_t b, uint32_t value)
{
	struct kbpf_table *t = arg;
	uint32_t key[2] = { a, b };
	int r;

	if (value && t->bits)
		set_bit(t, a, b);
	r = value ? kbpf_map_set(t->where.map, key, &value) : kbpf_map_unset(t->where.map, key);
	/* One that the map had no room for is not there to be taken out. */
	if (r < 0 && value)
		pfs_counter_add(&t->lost, 1);
}

/* Memory that both see. Kernels without it do without bits. */
static void make_bits(struct kbpf_table *t, uint32_t entries)
{
	struct kbpf_map_spec spec = { .type = BPF_MAP_TYPE_ARRAY,
				      .key_size = sizeof(uint32_t),
				      .entries = 1,
				      .flags = BPF_F_MMAPABLE,
				      .inner = -1,
				      .name = "pf_bits" };
	struct pfs_seed seed;
	void *p;

	t->where.log = LOG_MIN;
	while (t->where.log < LOG_MAX && UINT64_C(1) << t->where.log < (uint64_t)entries * BITS_A_KEY)
		t->where.log++;
	pfs_seed_init(&seed);
	t->where.m_a = (uint32_t)seed.a | 1;
	t->where.m_b = (uint32_t)seed.b | 1;
	spec.value_size = 1u << (t->where.log - 3);
	t->where.bits = kbpf_map_new(&spec);
	if (t->where.bits < 0)
		return;
	p = mmap(NULL, spec.value_size, PROT_READ | PROT_WRITE, MAP_SHARED, t->where.bits, 0);
	if (p != MAP_FAILED) {
		t->bits = p;
		return;
	}
	close(t->where.bits);
	t->where.bits = -1;
}

static void table_release(struct kbpf_table *t)
{
	if (t->table)
		t->table->changed = NULL;
	pf_table_unref(t->table);
	if (t->bits)
		munmap((void *)t->bits, (size_t)1 << (t->where.log - 3));
	if (t->where.bits >= 0)
		close(t->where.bits);
	if (t->where.map >= 0)
		close(t->where.map);
}

int kbpf_tables_make(struct kbpf_tables *tables, const struct pf_unit *u, uint32_t entries)
{
	const struct kbpf_map_spec spec = { .type = BPF_MAP_TYPE_HASH,
					    .key_size = 2 * sizeof(uint32_t),
					    .value_size = sizeof(uint32_t),
					    .entries = entries,
					    .inner = -1,
					    .name = "pf_table" };

	*tables = (struct kbpf_tables){ .of = pfs_zalloc(u->ntable, sizeof(*tables->of)) };
	if (!tables->of)
		return -ENOMEM;
	for (uint32_t i = 0; i < u->ntable; i++) {
		struct kbpf_table *t = &tables->of[i];

		t->where = (struct pf_ebpf_table){ .map = kbpf_map_new(&spec), .bits = -1 };
		if (t->where.map < 0) {
			int r = t->where.map;

			kbpf_tables_release(tables);
			return r;
		}
		make_bits(t, entries);
		t->table = pf_table_ref(u->table[i]);
		tables->n++;
		pf_table_each(t->table, follow, t);
		t->table->changed = follow;
		t->table->changed_arg = t;
	}
	return 0;
}

void kbpf_tables_release(struct kbpf_tables *tables)
{
	for (uint32_t i = 0; i < tables->n; i++)
		table_release(&tables->of[i]);
	free(tables->of);
	*tables = (struct kbpf_tables){ 0 };
}

struct pf_ebpf_table kbpf_tables_where(void *arg, const struct pf_table *table)
{
	const struct kbpf_tables *tables = arg;

	for (uint32_t i = 0; i < tables->n; i++)
		if (tables->of[i].table == table)
			return tables->of[i].where;
	return (struct pf_ebpf_table){ .map = -1, .bits = -1 };
}

uint64_t kbpf_tables_lost(const struct kbpf_tables *tables)
{
	uint64_t lost = 0;

	for (uint32_t i = 0; i < tables->n; i++)
		lost += atomic_load_explicit(&tables->of[i].lost, memory_order_relaxed);
	return lost;
}
