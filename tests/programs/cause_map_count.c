/* One mapping more than vm.max_map_count allows. Locking every other page, without filling it, makes them. */
#include "case.h"

/* Two mappings of two pages each, side by side, and beyond them as many as the kernel gives. */
static char *use_up(void)
{
	long most = 0;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
	char *many, *pages;

	need(file && fscanf(file, "%ld", &most) == 1 && most < 1000000, "vm.max_map_count");
	fclose(file);
	many = map(2 * most * PAGE, PROT_NONE);
	pages = map(4 * PAGE, RW);
	need(mprotect(pages, 2 * PAGE, R) == 0, "two mappings");
	for (long i = 0; i < most; i++)
		if (mlock2(many + 2 * i * PAGE, PAGE, MLOCK_ONFAULT) != 0)
			break;
	need(errno == ENOMEM, "the last mapping");
	return pages;
}

static long split_by_madvise(void) { return madvise(use_up() + 3 * PAGE, PAGE, MADV_DONTDUMP); }

/* The first mapping is sealed before the second one cannot be split. */
static long sealed_in_part(void) { return syscall(SYS_mseal, use_up(), 3 * PAGE, 0); }

static const struct attempt attempts[] = {
	{"madvise", split_by_madvise},
	{"mseal", sealed_in_part},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
