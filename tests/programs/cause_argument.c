/* Calls that could never work, whatever the memory. */
#include "case.h"

#define UNKNOWN_PROT 0x40

static long offset_alignment(void) { return mmap_call(NULL, PAGE, R, MAP_PRIVATE, open_self(), 12); }
static long fixed_alignment(void) { return mmap_call(map(2 * PAGE, R) + 8, PAGE, R, ANON | MAP_FIXED, -1, 0); }
static long mprotect_alignment(void) { return mprotect(map(2 * PAGE, R) + 8, PAGE, RW); }
static long munmap_alignment(void) { return munmap(map(2 * PAGE, R) + 8, PAGE); }
static long madvise_alignment(void) { return madvise(map(2 * PAGE, R) + 8, PAGE, MADV_DONTNEED); }
static long mseal_alignment(void) { return syscall(SYS_mseal, map(2 * PAGE, R) + 8, PAGE, 0); }
static long mremap_alignment(void) { return (long)mremap(map(2 * PAGE, R) + 8, PAGE, 2 * PAGE, MREMAP_MAYMOVE); }
static long mmap_nothing(void) { return mmap_call(NULL, 0, R, ANON, -1, 0); }
static long munmap_nothing(void) { return munmap(map(PAGE, R), 0); }
static long mremap_to_nothing(void) { return (long)mremap(map(PAGE, R), PAGE, 0, MREMAP_MAYMOVE); }
static long mmap_wraps(void) { return mmap_call(NULL, -1UL, R, ANON, -1, 0); }
static long mprotect_wraps(void) { return mprotect(map(PAGE, R), -PAGE, RW); }
static long mseal_wraps(void) { return syscall(SYS_mseal, map(PAGE, R), -PAGE, 0); }
static long no_type(void) { return mmap_call(NULL, PAGE, R, MAP_ANONYMOUS, -1, 0); }
static long file_grows_down(void) { return mmap_call(NULL, PAGE, R, MAP_PRIVATE | MAP_GROWSDOWN, open_self(), 0); }
static long fixed_without_maymove(void) { return syscall(SYS_mremap, map(PAGE, R), PAGE, PAGE, MREMAP_FIXED, map(PAGE, R)); }
static long mremap_unknown(void) { return syscall(SYS_mremap, map(PAGE, R), PAGE, PAGE, 0x100, 0); }
static long mseal_flags(void) { return syscall(SYS_mseal, map(PAGE, R), PAGE, 1); }
static long mprotect_unknown(void) { return mprotect(map(PAGE, R), PAGE, R | UNKNOWN_PROT); }
static long pkey_unknown(void) { return syscall(SYS_pkey_mprotect, map(PAGE, R), PAGE, R | UNKNOWN_PROT, -1); }
static long both_directions(void) { return mprotect(map(PAGE, R), PAGE, RW | PROT_GROWSDOWN | PROT_GROWSUP); }
static long does_not_grow(void) { return mprotect(map(PAGE, R), PAGE, RW | PROT_GROWSDOWN); }
static long shared_grows_down(void) { return mmap_call(NULL, PAGE, R, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0); }
static long validate(void) { return mmap_call(NULL, PAGE, R, MAP_SHARED_VALIDATE | 0x200000, open_self(), 0); }
static long munmap_beyond(void) { return munmap(map(PAGE, R), 1UL << 47); }
static long mremap_beyond(void) { return (long)mremap(map(PAGE, R), PAGE, 1UL << 47, MREMAP_MAYMOVE); }
static long mremap_copy(void) { return (long)mremap(map(PAGE, RW), 0, PAGE, MREMAP_MAYMOVE); }
static long mremap_resize(void) { return syscall(SYS_mremap, map(PAGE, RW), PAGE, 2 * PAGE, MREMAP_MAYMOVE | 4, 0); }

static long mremap_overlap(void)
{
	char *pages = map(4 * PAGE, RW);

	return syscall(SYS_mremap, pages, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, pages + PAGE);
}

static long shmat_nothing(void) { return (long)shmat(0x7ffffff0, NULL, 0); }
static long shmat_negative(void) { return (long)shmat(-1, NULL, 0); }
static long shmat_alignment(void) { return (long)attach(segment(PAGE, 0600), map(2 * PAGE, R) + 8, 0); }
static long shmat_remap_nowhere(void) { return (long)attach(segment(PAGE, 0600), NULL, SHM_REMAP); }
static long shmdt_nothing(void) { return shmdt(map(PAGE, R)); }
static long shmdt_alignment(void) { return shmdt(map(PAGE, R) + 8); }

static long shmat_mode(void)
{
	int id = segment(PAGE, 0), why;
	void *attached;
	uid_t owner = geteuid();

	/* Root may do everything; so this needs another effective user. */
	if (owner == 0)
		need(seteuid(65534) == 0, "another user");
	attached = shmat(id, NULL, 0);
	why = errno;
	if (owner == 0)
		need(seteuid(0) == 0, "root again");
	shmctl(id, IPC_RMID, NULL);
	errno = why;
	return (long)attached;
}

static long remap_prot(void) { return syscall(SYS_remap_file_pages, map(PAGE, R), PAGE, R, 0, 0); }
static long remap_private(void) { return syscall(SYS_remap_file_pages, map(PAGE, RW), PAGE, 0, 0, 0); }
static long remap_nothing(void) { return syscall(SYS_remap_file_pages, map(PAGE, RW), 0, 0, 0, 0); }
static long remap_two_kinds(void)
{
	char *pages = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	need(pages != MAP_FAILED && mprotect(pages + 2 * PAGE, 2 * PAGE, R) == 0, "two kinds of shared memory");
	return syscall(SYS_remap_file_pages, pages, 4 * PAGE, 0, 0, 0);
}

static long validate_anonymous(void) { return mmap_call(NULL, PAGE, R, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0); }
static long droppable_locked(void) { return mmap_call(NULL, PAGE, RW, MAP_ANONYMOUS | 8 | MAP_LOCKED, -1, 0); }
static long does_not_grow_up(void) { return mprotect(map(PAGE, R), PAGE, RW | PROT_GROWSUP); }
static long mremap_hint_alignment(void) { return syscall(SYS_mremap, map(PAGE, RW), PAGE, PAGE, MREMAP_MAYMOVE | 4, 8); }
static long mremap_to_beyond(void) { return syscall(SYS_mremap, map(PAGE, RW), PAGE, PAGE, 3, 1UL << 47); }
static long mremap_from_beyond(void) { return syscall(SYS_mremap, map(PAGE, RW), 1UL << 47, PAGE, 0, 0); }
static long low_break(void) { return syscall(SYS_brk, PAGE) == PAGE ? 0 : -1; }

static const struct attempt attempts[] = {
	{"offset-alignment", offset_alignment},
	{"fixed-alignment", fixed_alignment},
	{"mprotect-alignment", mprotect_alignment},
	{"munmap-alignment", munmap_alignment},
	{"madvise-alignment", madvise_alignment},
	{"mseal-alignment", mseal_alignment},
	{"mremap-alignment", mremap_alignment},
	{"mmap-nothing", mmap_nothing},
	{"munmap-nothing", munmap_nothing},
	{"mremap-to-nothing", mremap_to_nothing},
	{"mmap-wraps", mmap_wraps},
	{"mprotect-wraps", mprotect_wraps},
	{"mseal-wraps", mseal_wraps},
	{"no-type", no_type},
	{"file-grows-down", file_grows_down},
	{"fixed-without-maymove", fixed_without_maymove},
	{"mremap-unknown", mremap_unknown},
	{"mseal-flags", mseal_flags},
	{"mprotect-unknown", mprotect_unknown},
	{"pkey-unknown", pkey_unknown},
	{"both-directions", both_directions},
	{"does-not-grow", does_not_grow},
	{"shared-grows-down", shared_grows_down},
	{"validate", validate},
	{"munmap-beyond", munmap_beyond},
	{"mremap-beyond", mremap_beyond},
	{"mremap-copy", mremap_copy},
	{"mremap-resize", mremap_resize},
	{"mremap-overlap", mremap_overlap},
	{"shmat-nothing", shmat_nothing},
	{"shmat-negative", shmat_negative},
	{"shmat-alignment", shmat_alignment},
	{"shmat-remap-nowhere", shmat_remap_nowhere},
	{"shmat-mode", shmat_mode},
	{"shmdt-nothing", shmdt_nothing},
	{"shmdt-alignment", shmdt_alignment},
	{"remap-prot", remap_prot},
	{"remap-private", remap_private},
	{"remap-nothing", remap_nothing},
	{"remap-two-kinds", remap_two_kinds},
	{"validate-anonymous", validate_anonymous},
	{"droppable-locked", droppable_locked},
	{"does-not-grow-up", does_not_grow_up},
	{"mremap-hint-alignment", mremap_hint_alignment},
	{"mremap-to-beyond", mremap_to_beyond},
	{"mremap-from-beyond", mremap_from_beyond},
	{"low-break", low_break},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
