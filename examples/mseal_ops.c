/*
 * Seals three read-only pages, then tries everything a seal forbids. With an
 * argument it tries only that operation.
 *
 * Refused by: the seal. It needs mseal(2), Linux 6.10.
 */
#include "example.h"

#include <sys/syscall.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static char *sealed, *other;

static void *map(int prot)
{
	return mmap(NULL, 3 * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static bool unmap(void) { return munmap(sealed, PAGE) == 0; }
static bool protect(void) { return mprotect(sealed, PAGE, PROT_READ | PROT_WRITE) == 0; }
static bool protect_same(void) { return mprotect(sealed, PAGE, PROT_READ) == 0; }
static bool protect_key(void) { return syscall(SYS_pkey_mprotect, sealed, PAGE, PROT_NONE, -1) == 0; }
static bool shrink(void) { return mremap(sealed, 3 * PAGE, PAGE, 0) != MAP_FAILED; }
static bool grow(void) { return mremap(sealed, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE) != MAP_FAILED; }
static bool discard(void) { return madvise(sealed, PAGE, MADV_DONTNEED) == 0; }

static bool move_away(void)
{
	return mremap(sealed, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other) != MAP_FAILED;
}

static bool move_onto(void)
{
	return mremap(other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, sealed) != MAP_FAILED;
}

static bool map_over(void)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

	return mmap(sealed, PAGE, PROT_READ, flags, -1, 0) != MAP_FAILED;
}

static const struct operation {
	const char *name, *call;
	bool (*attempt)(void);
} operations[] = {
	{"munmap", "munmap", unmap},
	{"mprotect", "mprotect(RW)", protect},
	{"mprotect-same", "mprotect(R), as it is already", protect_same},
	{"pkey-mprotect", "pkey_mprotect(NONE)", protect_key},
	{"shrink", "mremap to a smaller size", shrink},
	{"grow", "mremap to a larger size", grow},
	{"move-away", "mremap of the sealed page", move_away},
	{"move-onto", "mremap onto the sealed page", move_onto},
	{"map-over", "mmap(MAP_FIXED) over it", map_over},
	{"discard", "madvise(MADV_DONTNEED)", discard},
};

int main(int argc, char **argv)
{
	int tried = 0, granted = 0;

	sealed = map(PROT_READ);
	other = map(PROT_READ | PROT_WRITE);
	if (!report("mmap", sealed != MAP_FAILED && other != MAP_FAILED))
		return REFUSED;
	if (!report("mseal(3 pages)", syscall(SYS_mseal, sealed, 3 * PAGE, 0) == 0))
		return errno == ENOSYS ? NOT_HERE : REFUSED;
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		if (argc > 1 && strcmp(argv[1], operations[i].name) != 0)
			continue;
		tried++;
		granted += report(operations[i].call, operations[i].attempt());
	}
	if (tried == 0) {
		fprintf(stderr, "%s: no operation called %s\n", argv[0], argv[1]);
		return 2;
	}
	return granted == tried ? GRANTED : REFUSED;
}
