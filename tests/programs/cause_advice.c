/* Advice that this memory does not take. */
#include "case.h"

static long advise(char *memory, int advice)
{
	need(memory != MAP_FAILED, "memory");
	return madvise(memory, PAGE, advice);
}

static char *of_file(int prot, int kind, int mode) { return mmap(NULL, PAGE, prot, kind, temporary_file(mode), 0); }

static char *locked(void)
{
	char *page = map(PAGE, RW);

	need(mlock(page, PAGE) == 0, "locked memory");
	return page;
}

static long unknown(void) { return advise(map(PAGE, R), 999); }
static long free_of_file(void) { return advise(of_file(RW, MAP_PRIVATE, O_RDWR), MADV_FREE); }
static long wipe_of_shared(void) { return advise(of_file(RW, MAP_SHARED, O_RDWR), MADV_WIPEONFORK); }
static long discard_locked(void) { return advise(locked(), MADV_DONTNEED); }
static long guard_locked(void) { return advise(locked(), 102); }
static long remove_anonymous(void) { return advise(map(PAGE, RW), MADV_REMOVE); }
static long remove_private(void) { return advise(of_file(RW, MAP_PRIVATE, O_RDWR), MADV_REMOVE); }
static long remove_read_only(void) { return advise(of_file(R, MAP_SHARED, O_RDONLY), MADV_REMOVE); }
static long fill_read_only(void) { return advise(map(PAGE, R), 23); }

static long poison(void)
{
	be_nobody();
	return advise(map(PAGE, RW), 100);
}

/* The file has four pages, the mapping eight. */
static long fill_beyond_the_file(void)
{
	int fd = temporary_file(O_RDWR);
	char *pages = mmap(NULL, 8 * PAGE, R, MAP_SHARED, fd, 0);

	need(pages != MAP_FAILED, "a mapping");
	return madvise(pages, 8 * PAGE, 22);
}

static const struct attempt attempts[] = {
	{"unknown", unknown},
	{"free-of-file", free_of_file},
	{"wipe-of-shared", wipe_of_shared},
	{"discard-locked", discard_locked},
	{"guard-locked", guard_locked},
	{"remove-anonymous", remove_anonymous},
	{"remove-private", remove_private},
	{"remove-read-only", remove_read_only},
	{"fill-read-only", fill_read_only},
	{"poison", poison},
	{"fill-beyond-the-file", fill_beyond_the_file},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
