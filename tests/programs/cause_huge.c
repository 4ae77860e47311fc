/* Memory of huge pages is changed in whole huge pages. Needs one that is free, and at most one is taken. */
#include "case.h"

#define HUGE (2 * MIB)

static char *huge_page(void)
{
	char *page = mmap(NULL, HUGE, RW, ANON | MAP_HUGETLB, -1, 0);

	need(page != MAP_FAILED, "a huge page");
	return page;
}

static long mprotect_part(void) { return mprotect(huge_page() + PAGE, PAGE, R); }
static long munmap_part(void) { return munmap(huge_page(), PAGE); }
static long mremap_more(void) { return (long)mremap(huge_page(), HUGE, 2 * HUGE, MREMAP_MAYMOVE); }
static long more_than_free(void) { return mmap_call(NULL, 1UL << 40, RW, ANON | MAP_HUGETLB, -1, 0); }


/* A file of huge pages needs none that is free before it is mapped. */
static int huge_file(void)
{
	int fd = syscall(SYS_memfd_create, "huge", 4);

	need(fd >= 0, "a file of huge pages");
	return fd;
}

static long offset_inside(void) { return mmap_call(NULL, HUGE, RW, MAP_SHARED, huge_file(), PAGE); }

static long address_inside(void)
{
	char *room = map(4 * HUGE, PROT_NONE);

	return mmap_call((char *)((unsigned long)room | PAGE), HUGE, RW, MAP_SHARED | MAP_FIXED, huge_file(), 0);
}

static const struct attempt attempts[] = {
	{"mprotect", mprotect_part},
	{"munmap", munmap_part},
	{"mremap", mremap_more},
	{"more-than-free", more_than_free},
	{"offset", offset_inside},
	{"address", address_inside},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
