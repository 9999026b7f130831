/*
 * nomem - allocations of a unit test fail when it says so
 *
 * Where a sanitizer's own allocator is in that place they cannot: INTERPOSED is 0, and the test is skipped.
 */
#ifndef TESTS_NOMEM_H
#define TESTS_NOMEM_H

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if !defined(__has_feature)
#define __has_feature(x) 0 /* clang's way to say it */
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define INTERPOSED 0
#else
#define INTERPOSED 1
#endif

/* Allocations that this thread may still make; then one fails, or all do. 0: any number. */
static _Thread_local unsigned left;
static _Thread_local bool all_fail __attribute__((unused));
static _Atomic long live __attribute__((unused)); /* that have not been freed */

#if INTERPOSED

static bool fails(void)
{
	if (left == 0 || --left > 0)
		return false;
	left = all_fail;
	errno = ENOMEM;
	return true;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);

static void *counted(void *p)
{
	live += p != NULL;
	return p;
}

void *malloc(size_t size)
{
	return fails() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
	if (fails())
		return NULL;
	return p ? __libc_realloc(p, size) : counted(__libc_malloc(size));
}

void *reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(n, size, &bytes) ? NULL : realloc(p, bytes);
}

void *aligned_alloc(size_t align, size_t size)
{
	return fails() ? NULL : counted(__libc_memalign(align, size));
}

void free(void *p)
{
	live -= p != NULL;
	__libc_free(p);
}

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return fails() ? MAP_FAILED : (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
}

#endif
#endif
