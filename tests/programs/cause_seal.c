/* What mseal blocks, what it lets pass, and what mseal itself refuses. */
#include "case.h"

static char *sealed, *other;

/* Three sealed read-only pages, and three others. */
static char *set_up(void)
{
	sealed = map(3 * PAGE, R);
	other = map(3 * PAGE, RW);
	seal(sealed, 3 * PAGE);
	return sealed;
}

static long advise(int advice)
{
	set_up();
	return madvise(sealed, PAGE, advice);
}

static long unmap(void) { return munmap(set_up(), PAGE); }
static long replace(void) { return mmap_call(set_up(), PAGE, RW, ANON | MAP_FIXED, -1, 0); }
static long protect(void) { return mprotect(set_up(), PAGE, RW); }
static long protect_same(void) { return mprotect(set_up(), PAGE, R); }
static long protect_with_key(void) { return syscall(SYS_pkey_mprotect, set_up(), PAGE, PROT_NONE, -1); }
static long shrink(void) { return (long)mremap(set_up(), 3 * PAGE, PAGE, 0); }
static long grow(void) { return (long)mremap(set_up(), 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE); }
static long same_size(void) { return (long)mremap(set_up(), PAGE, PAGE, 0); }
static long move_away(void) { return syscall(SYS_mremap, set_up(), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other); }
static long move_onto(void)
{
	set_up();
	return syscall(SYS_mremap, other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, sealed);
}

static long attach_over(void) { return (long)attach(segment(PAGE, 0600), set_up(), SHM_REMAP); }

static long remap_pages(void)
{
	char *pages = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, temporary_file(O_RDWR), 0);

	need(pages != MAP_FAILED, "a shared file mapping");
	seal(pages, 2 * PAGE);
	return syscall(SYS_remap_file_pages, pages, PAGE, 0, 1, 0);
}

/* brk has no errno: the break stays where it was. */
static long lower_the_break(void)
{
	unsigned long start = (syscall(SYS_brk, 0) + PAGE - 1) & -PAGE;

	need(syscall(SYS_brk, start + 4 * PAGE) == (long)(start + 4 * PAGE), "a heap");
	seal((void *)(start + 2 * PAGE), PAGE);
	return syscall(SYS_brk, start + PAGE) == (long)(start + PAGE) ? 0 : -1;
}

/* shmdt says that it worked. */
static long detach(void)
{
	char *pages = attach(segment(2 * PAGE, 0600), NULL, 0);

	need(pages != (char *)-1, "an attached segment");
	seal(pages, 2 * PAGE);
	return shmdt(pages);
}

/* Half of the segment goes, the sealed half stays. */
static long detach_half(void)
{
	char *pages = attach(segment(2 * PAGE, 0600), NULL, 0);

	need(pages != (char *)-1, "an attached segment");
	seal(pages + PAGE, PAGE);
	return shmdt(pages);
}

static long discard(void) { return advise(MADV_DONTNEED); }
static long discard_lazily(void) { return advise(MADV_FREE); }
static long discard_locked(void) { return advise(24); }
static long hide_from_children(void) { return advise(MADV_DONTFORK); }
static long wipe_for_children(void) { return advise(MADV_WIPEONFORK); }
static long install_guards(void) { return advise(102); }

/* The open page before the sealed ones has its content thrown away all the same. */
static long discard_in_part(void)
{
	char *pages = map(2 * PAGE, R);

	seal(pages + PAGE, PAGE);
	return madvise(pages, 2 * PAGE, MADV_DONTNEED);
}

/* Everything here is granted: writable memory, files, harmless advice, locking, sealing again. */
static long allowed(void)
{
	char *writable = map(PAGE, RW), *file = mmap(NULL, PAGE, R, MAP_PRIVATE, open_self(), 0);

	set_up();
	seal(sealed, PAGE);
	seal(writable, PAGE);
	seal(file, PAGE);
	need(madvise(writable, PAGE, MADV_DONTNEED) == 0, "discarding writable memory");
	need(madvise(file, PAGE, MADV_DONTNEED) == 0, "discarding a file mapping");
	need(madvise(sealed, PAGE, MADV_COLD) == 0, "other advice");
	need(mlock(sealed, PAGE) == 0 && munlock(sealed, PAGE) == 0, "locking");
	return syscall(SYS_mseal, sealed, 0, 0);
}

static const struct attempt attempts[] = {
	{"munmap", unmap},
	{"mmap", replace},
	{"mprotect", protect},
	{"mprotect-same", protect_same},
	{"pkey-mprotect", protect_with_key},
	{"shrink", shrink},
	{"grow", grow},
	{"same-size", same_size},
	{"move-away", move_away},
	{"move-onto", move_onto},
	{"shmat", attach_over},
	{"remap-file-pages", remap_pages},
	{"brk", lower_the_break},
	{"shmdt", detach},
	{"shmdt-half", detach_half},
	{"discard", discard},
	{"discard-lazily", discard_lazily},
	{"discard-locked", discard_locked},
	{"hide-from-children", hide_from_children},
	{"wipe-for-children", wipe_for_children},
	{"install-guards", install_guards},
	{"discard-in-part", discard_in_part},
	{"allowed", allowed},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
