/* Ranges that are taken, missing or too low. */
#include "case.h"
#include <linux/capability.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

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

static long unmapped_madvise(void) { return madvise(with_hole(3, 1), 3 * PAGE, MADV_DONTNEED); }

static long segment_occupied(void)
{
	return (long)attach(segment(PAGE, 0600), map(PAGE, R), 0);
}

/* More than half of all addresses, twice. */
static long no_gap(void)
{
	map(1UL << 46, PROT_NONE);
	return mmap_call(NULL, 1UL << 46, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
}

static long no_low_gap(void)
{
	return mmap_call(NULL, 2UL << 30, PROT_NONE, ANON | MAP_NORESERVE | MAP_32BIT, -1, 0);
}

static long beyond_the_end(void) { return mmap_call((void *)((1UL << 47) - PAGE), 2 * PAGE, R, ANON | MAP_FIXED, -1, 0); }

static long in_the_way(void)
{
	char *pages = map(2 * PAGE, RW);

	return (long)mremap(pages, PAGE, 2 * PAGE, 0);
}

static long across(void)
{
	char *pages = map(2 * PAGE, RW);

	need(mprotect(pages, PAGE, R) == 0, "two mappings");
	return (long)mremap(pages, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
}

/* Two mappings, the second watched by userfaultfd, to be moved at once; a hole of `hole` pages between them. */
static long watched(int hole)
{
	char *pages = map((4 + hole) * PAGE, RW);
	char *target = map((4 + hole) * PAGE, R);
	int watcher = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {
		.range = {(unsigned long)pages + (2 + hole) * PAGE, 2 * PAGE},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (watcher < 0) {
		errno = ENOSYS;
		need(0, "userfaultfd");
	}
	need(hole == 0 || munmap(pages + 2 * PAGE, hole * PAGE) == 0, "a hole");
	need(ioctl(watcher, UFFDIO_API, &api) == 0 && ioctl(watcher, UFFDIO_REGISTER, &range) == 0, "to watch");
	return (long)mremap(pages, (4 + hole) * PAGE, (4 + hole) * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target);
}

static long watched_behind(void) { return watched(0); }
static long watched_behind_a_hole(void) { return watched(1); }

static long remap_in_a_hole(void) { return syscall(SYS_remap_file_pages, with_hole(4, 0), 4 * PAGE, 0, 0, 0); }

static char *special(const char *name)
{
	char line[256];
	unsigned long start = 0;
	FILE *maps = fopen("/proc/self/maps", "r");

	need(maps != NULL, "/proc/self/maps");
	while (!start && fgets(line, sizeof(line), maps))
		if (strstr(line, name))
			start = strtoul(line, NULL, 16);
	need(start != 0, name);
	return (char *)start;
}

static long vvar_writable(void) { return mprotect(special("[vvar]"), PAGE, RW); }
static long vdso_in_part(void) { return mprotect(special("[vdso]"), PAGE, R); }
static long vdso_unmapped_in_part(void) { return munmap(special("[vdso]"), PAGE); }
static long vdso_grown(void) { return (long)mremap(special("[vdso]"), 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE); }

static long vsyscall_protected(void) { return mprotect((void *)0xffffffffff600000UL, PAGE, R); }
static long vdso_left_behind(void) { return syscall(SYS_mremap, special("[vdso]"), 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | 4, 0); }

static long above_the_heap(void)
{
	unsigned long now = (syscall(SYS_brk, 0) + PAGE - 1) & -PAGE;

	need(mmap((void *)(now + 2 * PAGE), PAGE, R, ANON | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED, "a neighbour");
	return syscall(SYS_brk, now + 4 * PAGE) == (long)(now + 4 * PAGE) ? 0 : -1;
}

/* The heap has no page yet, and this covers the place where it would start. */
static long heap_covered(void)
{
	unsigned long now = syscall(SYS_brk, 0), page = now & -PAGE;

	need(mmap((void *)(page - PAGE), MIB, PROT_NONE, ANON | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED, "a wall");
	return syscall(SYS_brk, page + 33 * PAGE) == (long)(page + 33 * PAGE) ? 0 : -1;
}

static long unmapped_remap(void) { return syscall(SYS_remap_file_pages, with_hole(4, 0), 4 * PAGE, 0, 0, 0); }

/* Every gap that would do is taken. */
static long segment_no_gap(void)
{
	int id = segment(64 * MIB, 0600);

	for (unsigned long size = 1UL << 46; size >= 32 * MIB;)
		if (mmap(NULL, size, PROT_NONE, ANON | MAP_NORESERVE, -1, 0) == MAP_FAILED)
			size /= 2;
	return (long)attach(id, NULL, 0);
}

static const struct attempt attempts[] = {
	{"watched-behind", watched_behind},
	{"watched-behind-a-hole", watched_behind_a_hole},
	{"remap-in-a-hole", remap_in_a_hole},
	{"unmapped-start", unmapped_start},
	{"unmapped-middle", unmapped_middle},
	{"unmapped-end", unmapped_end},
	{"unmapped-mremap", unmapped_mremap},
	{"unmapped-mseal", unmapped_mseal},
	{"occupied", occupied},
	{"low-mmap", low_mmap},
	{"low-noreplace", low_noreplace},
	{"low-mremap", low_mremap},
	{"unmapped-madvise", unmapped_madvise},
	{"segment-occupied", segment_occupied},
	{"no-gap", no_gap},
	{"no-low-gap", no_low_gap},
	{"beyond-the-end", beyond_the_end},
	{"in-the-way", in_the_way},
	{"across", across},
	{"vvar-writable", vvar_writable},
	{"vdso-in-part", vdso_in_part},
	{"vdso-unmapped-in-part", vdso_unmapped_in_part},
	{"vdso-grown", vdso_grown},
	{"vsyscall", vsyscall_protected},
	{"vdso-left-behind", vdso_left_behind},
	{"above-the-heap", above_the_heap},
	{"heap-covered", heap_covered},
	{"unmapped-remap", unmapped_remap},
	{"segment-no-gap", segment_no_gap},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
