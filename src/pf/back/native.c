#include "pf/back/native.h"

#include <sys/mman.h>

#include "pf/back/x86_64.h"

typedef uint64_t code_fn(const uint8_t *data, uint64_t caplen, uint64_t len,
			 const struct pf_aux *aux, struct pf_hit *hits);

struct pf_native {
	void *memory; /* owned; mapped */
	size_t size;
	code_fn *run;
	bool only; /* one filter: the result itself is returned */
};

static int emit(const struct pf_unit *u, uint8_t **ret_code, size_t *ret_n)
{
#if defined(__x86_64__)
	return pf_x86_64_emit(u, ret_code, ret_n, NULL);
#else
	return -ENOTSUP;
#endif
}

/* Written first, then made executable: never both. */
static int place(struct pf_native *native, const uint8_t *code, size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	native->memory = p;
	native->size = n;
	memcpy(p, code, n);
	if (mprotect(p, n, PROT_READ | PROT_EXEC) < 0)
		return -EACCES;
	__builtin___clear_cache((char *)p, (char *)p + n);
	memcpy(&native->run, &p, sizeof(p)); /* a pointer to data becomes one to a function */
	return 0;
}

int pf_native_make(const struct pf_unit *u, struct pf_native **ret_native)
{
	PFS_FREE uint8_t *code = NULL;
	struct pf_native *native;
	size_t n;
	int r = emit(u, &code, &n);

	if (r < 0)
		return r;
	native = pfs_zalloc(1, sizeof(*native));
	if (!native)
		return -ENOMEM;
	native->only = u->nresult == 1;
	r = place(native, code, n);
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
	free(native);
}

uint32_t pf_native_size(const struct pf_native *native)
{
	return (uint32_t)native->size;
}

uint32_t pf_native_run(const struct pf_native *native, const struct pf_packet *packet,
		       struct pf_hit *hits)
{
	static const struct pf_aux nothing = { 0 };
	uint64_t r = native->run(packet->data, packet->caplen, packet->len,
				 packet->aux ? packet->aux : &nothing, hits);

	return native->only ? (uint32_t)r : (uint32_t)((r - (uintptr_t)hits) / sizeof(*hits));
}
