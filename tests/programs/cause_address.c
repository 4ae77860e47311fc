/* Ranges that are taken, missing or too low. */
#include "case.h"
#include <linux/capability.h>

/* Pages of memory with the one at `hole` missing. */
static char *with_hole(int pages, int hole)
{
	char *start = map(pages * PAGE, RW);

	need(munmap(start + hole * PAGE, PAGE) == 0, "a hole");
	return start;
}

static void give_up_rawio(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2];

	need(syscall(SYS_capget, &header, sets) == 0, "capabilities");
	sets[0].effective &= ~(1U << CAP_SYS_RAWIO);
	need(syscall(SYS_capset, &header, sets) == 0, "fewer capabilities");
}

static long unmapped_start(void) { return mprotect(with_hole(2, 0), 2 * PAGE, R); }
static long unmapped_middle(void) { return mprotect(with_hole(3, 1), 3 * PAGE, R); }
static long unmapped_end(void) { return mprotect(with_hole(2, 1), 2 * PAGE, R); }
static long unmapped_mremap(void) { return (long)mremap(with_hole(2, 0), PAGE, 2 * PAGE, MREMAP_MAYMOVE); }
static long unmapped_mseal(void) { return syscall(SYS_mseal, with_hole(2, 1), 2 * PAGE, 0); }

static long occupied(void)
{
	char *taken = map(2 * PAGE, R);

	return mmap_call(taken + PAGE, 2 * PAGE, R, ANON | MAP_FIXED_NOREPLACE, -1, 0);
}

static long low_mmap(void)
{
	give_up_rawio();
	return mmap_call(NULL, PAGE, R, ANON | MAP_FIXED, -1, 0);
}

static long low_noreplace(void)
{
	give_up_rawio();
	return mmap_call(NULL, PAGE, R, ANON | MAP_FIXED_NOREPLACE, -1, 0);
}

static long low_mremap(void)
{
	char *page = map(PAGE, R);

	give_up_rawio();
	return (long)syscall(SYS_mremap, page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, NULL);
}

static const struct attempt attempts[] = {
	{"unmapped-start", unmapped_start},
	{"unmapped-middle", unmapped_middle},
	{"unmapped-end", unmapped_end},
	{"unmapped-mremap", unmapped_mremap},
	{"unmapped-mseal", unmapped_mseal},
	{"occupied", occupied},
	{"low-mmap", low_mmap},
	{"low-noreplace", low_noreplace},
	{"low-mremap", low_mremap},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
