/* Memory beyond a resource limit. brk has no errno: the break stays where it was. */
#include "case.h"
#include <sys/resource.h>

static void limit(int what, unsigned long bytes)
{
	struct rlimit both = {bytes, RLIM_INFINITY};

	need(getrlimit(what, &both) == 0, "a limit");
	both.rlim_cur = bytes;
	need(setrlimit(what, &both) == 0, "a limit");
}

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

static const struct attempt attempts[] = {
	{"data-mmap", data_mmap},
	{"data-mprotect", data_mprotect},
	{"data-brk", data_brk},
	{"data-mremap", data_mremap},
	{"space-mmap", space_mmap},
	{"space-mremap", space_mremap},
	{"space-brk", space_brk},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
