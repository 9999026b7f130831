#include "pf/back/native.h"

#include <sys/mman.h>

#include "pf/back/x86_64.h"

/* Several filters: returns where the next hit would go. */
typedef uint64_t hits_fn(const struct pf_packet *packet, const struct pf_aux *nothing,
			 struct pf_hit *hits, uint32_t *words);
/* One filter, with memories. */
typedef uint32_t words_fn(const struct pf_packet *packet, const struct pf_aux *nothing,
			  struct pf_hit *hits, uint32_t *words);
typedef void batch_fn(const struct pf_packet *packets, const struct pf_aux *nothing,
		      uint32_t *results, size_t n);

struct pf_native {
	void *memory; /* owned; mapped */
	size_t size;
	size_t entry;
	size_t batch_at; /* bytes of code in front of that for batches; 0: there is none */
	bool only;	 /* one filter: the result itself is returned */
	bool has_words;	 /* memories */
	/* One of them; what the memory holds. */
	hits_fn *hits;
	pf_code_fn *code;
	words_fn *words;
	batch_fn *batch;
	struct pf_table **table; /* owned, and a reference to each: the code has their addresses */
	uint32_t ntable;
};

/* What is known beside the bytes of a packet that comes without. */
static const struct pf_aux nothing;

#define CODE_ALIGN 64u
#define NEAR_FROM ((uintptr_t)64 << 20)
#define NEAR_STEP ((uintptr_t)64 << 10) /* times 2^14 is 1 GiB */

/* The code for a packet and, behind it, that for many: where that would be large, only the first. */
#define BATCH_CODE_MAX ((size_t)64 << 10)

static int emit(const struct pf_unit *u, struct pf_native *native, struct pfs_buf *code)
{
#if defined(__x86_64__)
	struct pf_x86_64 made;
	int r = pf_x86_64_emit(u, 0, &made, NULL);

	if (r < 0)
		return r;
	pfs_buf_add(code, made.code, made.n);
	free(made.code);
	native->entry = made.entry;
	if (!native->only || native->has_words || made.n > BATCH_CODE_MAX)
		return 0;
	r = pf_x86_64_emit(u, PF_X86_64_BATCH, &made, NULL);
	if (r < 0)
		return r;
	while (code->len % CODE_ALIGN)
		pfs_buf_add(code, "\xcc", 1); /* int3 */
	native->batch_at = code->len;
	pfs_buf_add(code, made.code, made.n);
	free(made.code);
	return 0;
#else
	return -ENOTSUP;
#endif
}

/*
 * Where to put it: below our own code, as near as jump predictors like it (a call over more than 2 GiB costs a cycle
 * or two each time). It need not be free there, then the kernel takes another place; so programs are spread out, by
 * where their heads happen to lie.
 */
static void *near_us(const struct pf_native *native)
{
	uintptr_t here = (uintptr_t)&nothing,
		  at = (uintptr_t)native / 16 * UINT64_C(0x9e3779b97f4a7c15) >> 50;

	at = (NEAR_FROM + at * NEAR_STEP) & ~(uintptr_t)0xffff;
	return here > at ? (void *)((here - at) & ~(uintptr_t)0xffff) : NULL;
}

/* Written first, then made executable: never both. */
static int place(struct pf_native *native, const void *code, size_t n)
{
	void *p = mmap(near_us(native), n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	     *at;

	if (p == MAP_FAILED)
		return -ENOMEM;
	native->memory = p;
	native->size = n;
	memcpy(p, code, n);
	if (mprotect(p, n, PROT_READ | PROT_EXEC) < 0)
		return -EACCES;
	__builtin___clear_cache((char *)p, (char *)p + n);
	/* Pointers to data become such to functions. */
	at = (char *)p + native->entry;
	if (native->only && native->has_words)
		memcpy(&native->words, &at, sizeof(at));
	else if (native->only)
		memcpy(&native->code, &at, sizeof(at));
	else
		memcpy(&native->hits, &at, sizeof(at));
	at = (char *)p + native->batch_at;
	if (native->batch_at)
		memcpy(&native->batch, &at, sizeof(at));
	return 0;
}

static int keep_tables(struct pf_native *native, const struct pf_unit *u)
{
	native->table = pfs_zalloc(u->ntable, sizeof(struct pf_table *));
	if (!native->table)
		return -ENOMEM;
	for (; native->ntable < u->ntable; native->ntable++)
		native->table[native->ntable] = pf_table_ref(u->table[native->ntable]);
	return 0;
}

int pf_native_make(const struct pf_unit *u, struct pf_native **ret_native)
{
	PFS_BUF struct pfs_buf code = { 0 };
	struct pf_native *native = pfs_zalloc(1, sizeof(*native));
	int r;

	if (!native)
		return -ENOMEM;
	native->only = u->nresult == 1;
	native->has_words = u->nmemory > 0;
	r = keep_tables(native, u);
	if (r == 0)
		r = emit(u, native, &code);
	if (r == 0)
		r = code.failed ? -ENOMEM : place(native, code.data, code.len);
	if (r < 0) {
		pf_native_free(native);
		return r;
	}
	*ret_native = native;
	return 0;
}

void pf_native_free(struct pf_native *native)
{
	if (!native)
		return;
	if (native->memory)
		munmap(native->memory, native->size);
	for (uint32_t i = 0; i < native->ntable; i++)
		pf_table_unref(native->table[i]);
	free(native->table);
	free(native);
}

uint32_t pf_native_size(const struct pf_native *native)
{
	return (uint32_t)(native->batch_at ? native->batch_at : native->size);
}

uint32_t pf_native_run_words(const struct pf_native *native, const struct pf_packet *packet,
			     struct pf_hit *hits, uint32_t *words)
{
	uint64_t end;

	assert(!native->has_words || words);
	if (native->only && native->has_words)
		return native->words(packet, &nothing, hits, words);
	if (native->only)
		return native->code(packet, &nothing);
	end = native->hits(packet, &nothing, hits, words);
	return (uint32_t)((end - (uintptr_t)hits) / sizeof(*hits));
}

pf_code_fn *pf_native_code(const struct pf_native *native, const void **ret_self)
{
	*ret_self = &nothing;
	return native->code;
}

void pf_native_batch(const struct pf_native *native, const struct pf_packet *packets, size_t n,
		     uint32_t *results)
{
	if (native->batch && n)
		native->batch(packets, &nothing, results, n);
	for (size_t i = 0; i < n && !native->batch; i++)
		results[i] = native->code(&packets[i], &nothing);
}
