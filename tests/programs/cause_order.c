/* Two reasons in one call: the kernel names the one it meets first. */
#include "case.h"

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

static int secret(void)
{
	int fd = syscall(447, 0);

	need(fd != -1 && ftruncate(fd, PAGE) == 0, "secret memory");
	return fd;
}

static long sealed_and_never_executable(void)
{
	void *page = mmap(NULL, PAGE, RW, MAP_SHARED, secret(), 0);

	need(page != MAP_FAILED, "a mapping of it");
	seal(page, PAGE);
	return mprotect(page, PAGE, RX);
}

static long mdwe_and_never_executable(void)
{
	void *page = mmap(NULL, PAGE, RW, MAP_SHARED, secret(), 0);

	need(page != MAP_FAILED, "a mapping of it");
	refuse_exec_gain();
	return mprotect(page, PAGE, RX);
}

static long sealed_beyond_the_limit(void)
{
	char *memory = map(16 * MIB, R);

	seal(memory, 16 * MIB);
	limit(RLIMIT_DATA, 4 * MIB);
	return mprotect(memory, 16 * MIB, RW);
}

static long sealed_behind_hole(void)
{
	char *pages = map(3 * PAGE, R);

	seal(pages + 2 * PAGE, PAGE);
	need(munmap(pages + PAGE, PAGE) == 0, "a hole");
	return madvise(pages, 3 * PAGE, MADV_DONTNEED);
}

static long sealed_and_across(void)
{
	char *pages = map(2 * PAGE, R);

	seal(pages, PAGE);
	return (long)mremap(pages, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
}

static long mdwe_of_sealed_memfd(void)
{
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING);

	need(fd != -1 && ftruncate(fd, PAGE) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0, "a sealed memfd");
	refuse_exec_gain();
	return mmap_call(NULL, PAGE, RWX, MAP_SHARED, fd, 0);
}

static long unaligned_of_closed(void) { return mmap_call(NULL, PAGE, R, MAP_PRIVATE, 99, 8); }
static long nothing_of_closed(void) { return mmap_call(NULL, 0, R, MAP_PRIVATE, 99, 0); }
static long code_of_directory(void) { return mmap_call(NULL, PAGE, RX, MAP_SHARED, open("/proc", O_RDONLY), 0); }
static long unknown_of_read_only(void) { return mmap_call(NULL, PAGE, RW, MAP_SHARED_VALIDATE | 0x200000, open_self(), 0); }
static long wrapping_with_unknown(void) { return mprotect(map(PAGE, R), -PAGE, R | 0x40); }
static long key_of_hole(void)
{
	char *page = map(PAGE, R);

	need(munmap(page, PAGE) == 0, "a hole");
	return syscall(SYS_pkey_mprotect, page, PAGE, RW, 7);
}

static long unaligned_of_no_segment(void) { return (long)shmat(0x7ffffff0, map(2 * PAGE, R) + 8, 0); }
static long unknown_advice_unaligned(void) { return madvise(map(2 * PAGE, R) + 8, PAGE, 999); }

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
	{"sealed-and-never-executable", sealed_and_never_executable},
	{"mdwe-and-never-executable", mdwe_and_never_executable},
	{"sealed-beyond-the-limit", sealed_beyond_the_limit},
	{"sealed-behind-hole", sealed_behind_hole},
	{"sealed-and-across", sealed_and_across},
	{"mdwe-of-sealed-memfd", mdwe_of_sealed_memfd},
	{"unaligned-of-closed", unaligned_of_closed},
	{"nothing-of-closed", nothing_of_closed},
	{"code-of-directory", code_of_directory},
	{"unknown-of-read-only", unknown_of_read_only},
	{"wrapping-with-unknown", wrapping_with_unknown},
	{"key-of-hole", key_of_hole},
	{"unaligned-of-no-segment", unaligned_of_no_segment},
	{"unknown-advice-unaligned", unknown_advice_unaligned},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
