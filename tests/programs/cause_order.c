/* Two reasons in one call: the kernel names the one it meets first. */
#include "case.h"
#include <sys/resource.h>

static void limit(int what, unsigned long bytes)
{
	struct rlimit both;

	need(getrlimit(what, &both) == 0, "a limit");
	both.rlim_cur = bytes;
	need(setrlimit(what, &both) == 0, "a limit");
}

/* Page by page: the first page is changed before the second, a read-only shared one, refuses. */
static long read_only_behind_anon(void)
{
	char *pages = map(2 * PAGE, R);

	read_only_page(pages + PAGE);
	return mprotect(pages, 2 * PAGE, RW);
}

static long sealed_behind_anon(void)
{
	char *pages = map(3 * PAGE, R);

	seal(pages + PAGE, PAGE);
	return mprotect(pages, 3 * PAGE, RW);
}

static long hole_behind_read_only(void)
{
	char *pages = map(2 * PAGE, R);

	need(munmap(pages + PAGE, PAGE) == 0, "a hole");
	read_only_page(pages);
	return mprotect(pages, 2 * PAGE, RW);
}

static long read_only_behind_hole(void)
{
	char *pages = map(3 * PAGE, R);

	read_only_page(pages + 2 * PAGE);
	need(munmap(pages + PAGE, PAGE) == 0, "a hole");
	return mprotect(pages, 3 * PAGE, RW);
}

static long hole_behind_limit(void)
{
	char *pages = map(16 * MIB + PAGE, R);

	need(munmap(pages + 16 * MIB, PAGE) == 0, "a hole");
	limit(RLIMIT_DATA, 4 * MIB);
	return mprotect(pages, 16 * MIB + PAGE, RW);
}

static long mdwe_on_read_only(void)
{
	char *page = read_only_page(NULL);

	refuse_exec_gain();
	return mprotect(page, PAGE, RWX);
}

static long read_only_behind_mdwe(void)
{
	char *pages = map(2 * PAGE, RW);

	read_only_page(pages + PAGE);
	refuse_exec_gain();
	return mprotect(pages, 2 * PAGE, RWX);
}

static long mdwe_on_sealed(void)
{
	char *page = map(PAGE, RW);

	seal(page, PAGE);
	refuse_exec_gain();
	return mprotect(page, PAGE, RX);
}

static long unaligned_on_sealed(void)
{
	char *page = map(PAGE, R);

	seal(page, PAGE);
	return mprotect(page + 8, PAGE - 8, RW);
}

static long sealed_under_noreplace(void)
{
	char *page = map(PAGE, R);

	seal(page, PAGE);
	return mmap_call(page, PAGE, R, ANON | MAP_FIXED_NOREPLACE, -1, 0);
}

static long mdwe_under_noreplace(void)
{
	char *page = map(PAGE, R);

	refuse_exec_gain();
	return mmap_call(page, PAGE, RWX, ANON | MAP_FIXED_NOREPLACE, -1, 0);
}

static long mdwe_over_sealed(void)
{
	char *page = map(PAGE, R);

	seal(page, PAGE);
	refuse_exec_gain();
	return mmap_call(page, PAGE, RWX, ANON | MAP_FIXED, -1, 0);
}

static long mdwe_of_read_only_file(void)
{
	int fd = open_self();

	refuse_exec_gain();
	return mmap_call(NULL, PAGE, RWX, MAP_SHARED, fd, 0);
}

static long limit_over_sealed(void)
{
	char *pages = map(64 * MIB, R);

	/* Only the first page stays; the rest leaves room for the call. */
	need(munmap(pages + PAGE, 64 * MIB - PAGE) == 0, "room");
	seal(pages, PAGE);
	limit(RLIMIT_AS, 32 * MIB);
	return mmap_call(pages, 64 * MIB, R, ANON | MAP_FIXED, -1, 0);
}

static const struct attempt attempts[] = {
	{"read-only-behind-anon", read_only_behind_anon},
	{"sealed-behind-anon", sealed_behind_anon},
	{"hole-behind-read-only", hole_behind_read_only},
	{"read-only-behind-hole", read_only_behind_hole},
	{"hole-behind-limit", hole_behind_limit},
	{"mdwe-on-read-only", mdwe_on_read_only},
	{"read-only-behind-mdwe", read_only_behind_mdwe},
	{"mdwe-on-sealed", mdwe_on_sealed},
	{"unaligned-on-sealed", unaligned_on_sealed},
	{"sealed-under-noreplace", sealed_under_noreplace},
	{"mdwe-under-noreplace", mdwe_under_noreplace},
	{"mdwe-over-sealed", mdwe_over_sealed},
	{"mdwe-of-read-only-file", mdwe_of_read_only_file},
	{"limit-over-sealed", limit_over_sealed},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
