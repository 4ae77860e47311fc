/* Memory beyond a resource limit. brk has no errno: the break stays where it was. */
#include "case.h"

static long more_heap(void)
{
	unsigned long now = syscall(SYS_brk, 0);

	return syscall(SYS_brk, now + 64 * MIB) == (long)(now + 64 * MIB) ? 0 : -1;
}

static long data_mmap(void)
{
	limit(RLIMIT_DATA, 4 * MIB);
	return mmap_call(NULL, 16 * MIB, RW, ANON, -1, 0);
}

static long data_mprotect(void)
{
	char *memory = map(16 * MIB, R);

	limit(RLIMIT_DATA, 4 * MIB);
	return mprotect(memory, 16 * MIB, RW);
}

static long data_brk(void)
{
	limit(RLIMIT_DATA, 4 * MIB);
	return more_heap();
}

static long data_mremap(void)
{
	char *memory = map(PAGE, RW);

	limit(RLIMIT_DATA, 4 * MIB);
	return (long)mremap(memory, PAGE, 16 * MIB, MREMAP_MAYMOVE);
}

static long space_mmap(void)
{
	limit(RLIMIT_AS, 32 * MIB);
	return mmap_call(NULL, 64 * MIB, PROT_NONE, ANON, -1, 0);
}

static long space_mremap(void)
{
	char *memory = map(PAGE, R);

	limit(RLIMIT_AS, 32 * MIB);
	return (long)mremap(memory, PAGE, 64 * MIB, MREMAP_MAYMOVE);
}

static long space_brk(void)
{
	limit(RLIMIT_AS, 32 * MIB);
	return more_heap();
}

/* RLIMIT_MEMLOCK binds whoever lacks CAP_IPC_LOCK. */
static void lock_at_most(unsigned long bytes)
{
	be_nobody();
	limit(RLIMIT_MEMLOCK, bytes);
}

static long locked_mmap(void)
{
	lock_at_most(MIB);
	return mmap_call(NULL, 4 * MIB, RW, ANON | MAP_LOCKED, -1, 0);
}

static long locked_not_at_all(void)
{
	lock_at_most(0);
	return mmap_call(NULL, PAGE, RW, ANON | MAP_LOCKED, -1, 0);
}

static long locked_mremap(void)
{
	char *page = map(PAGE, RW);

	lock_at_most(MIB);
	need(mlock(page, PAGE) == 0, "locked memory");
	return (long)mremap(page, PAGE, 4 * MIB, MREMAP_MAYMOVE);
}

static long locked_from_now_on(void)
{
	lock_at_most(MIB);
	need(mlockall(MCL_FUTURE) == 0, "MCL_FUTURE");
	return mmap_call(NULL, 4 * MIB, RW, ANON, -1, 0);
}

static long locked_brk(void)
{
	unsigned long now = syscall(SYS_brk, 0);

	lock_at_most(MIB);
	need(mlockall(MCL_FUTURE) == 0, "MCL_FUTURE");
	now = syscall(SYS_brk, now + PAGE);
	return syscall(SYS_brk, now + 4 * MIB) == (long)(now + 4 * MIB) ? 0 : -1;
}

static long space_shmat(void)
{
	int id = segment(64 * MIB, 0600);

	limit(RLIMIT_AS, 32 * MIB);
	return (long)attach(id, NULL, 0);
}

static long locked_shmat(void)
{
	lock_at_most(MIB);
	need(mlockall(MCL_FUTURE) == 0, "MCL_FUTURE");
	return (long)attach(segment(64 * MIB, 0600), NULL, 0);
}

static long space_dontunmap(void)
{
	char *memory = map(16 * MIB, R);

	limit(RLIMIT_AS, 24 * MIB);
	return (long)mremap(memory, 16 * MIB, 16 * MIB, MREMAP_MAYMOVE | 4, NULL);
}

static long locked_secret(void)
{
	int fd = syscall(447, 0);

	need(fd >= 0, "memfd_secret");
	lock_at_most(0);
	return mmap_call(NULL, PAGE, RW, MAP_SHARED, fd, 0);
}

/* A counter in software, of this process: whoever may open one at all may open this one. */
static long perf_ring(void)
{
	unsigned int attr[32] = {1, 128};
	int fd = syscall(SYS_perf_event_open, attr, 0, -1, -1, 0);

	need(fd >= 0, "a perf event");
	lock_at_most(0);
	return mmap_call(NULL, ((1UL << 16) + 1) * PAGE, RW, MAP_SHARED, fd, 0);
}

static long no_huge_pages_of_a_file(void)
{
	int fd = syscall(SYS_memfd_create, "huge", 4);

	need(fd >= 0, "a file of huge pages");
	return mmap_call(NULL, 1UL << 40, RW, MAP_SHARED, fd, 0);
}

static long no_descriptor(void)
{
	limit(RLIMIT_NOFILE, 3);
	return syscall(SYS_memfd_create, "one more", 0);
}

static long more_than_memory(void) { return mmap_call(NULL, 1UL << 46, RW, ANON, -1, 0); }

static long more_than_memory_later(void)
{
	char *memory = map(1UL << 46, R);

	return mprotect(memory, 1UL << 46, RW);
}

static long no_huge_pages(void)
{
	return mmap_call(NULL, 1UL << 40, RW, ANON | MAP_HUGETLB, -1, 0);
}

static long no_huge_pages_of_a_size(void)
{
	return mmap_call(NULL, 1UL << 40, RW, ANON | MAP_HUGETLB | 30 << 26, -1, 0);
}

static const struct attempt attempts[] = {
	{"data-mmap", data_mmap},
	{"data-mprotect", data_mprotect},
	{"data-brk", data_brk},
	{"data-mremap", data_mremap},
	{"space-mmap", space_mmap},
	{"space-mremap", space_mremap},
	{"space-brk", space_brk},
	{"locked-mmap", locked_mmap},
	{"locked-not-at-all", locked_not_at_all},
	{"locked-mremap", locked_mremap},
	{"locked-from-now-on", locked_from_now_on},
	{"locked-brk", locked_brk},
	{"space-shmat", space_shmat},
	{"space-dontunmap", space_dontunmap},
	{"locked-shmat", locked_shmat},
	{"locked-secret", locked_secret},
	{"perf-ring", perf_ring},
	{"no-huge-pages-of-a-file", no_huge_pages_of_a_file},
	{"no-descriptor", no_descriptor},
	{"more-than-memory", more_than_memory},
	{"more-than-memory-later", more_than_memory_later},
	{"no-huge-pages", no_huge_pages},
	{"no-huge-pages-of-a-size", no_huge_pages_of_a_size},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
