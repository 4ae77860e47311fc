/* What happens when a refusal goes unnoticed, or is caught in a signal handler. */
#include "case.h"
#include <setjmp.h>
#include <signal.h>

static sigjmp_buf back;

static void jump_back(int number)
{
	(void)number;
	siglongjmp(back, 1);
}

/* Writes to the page that did not become writable. */
static long write_anyway(void)
{
	volatile char *page = read_only_page(NULL);

	mprotect((void *)page, PAGE, RW);
	*page = 1;
	return 0;
}

/* Uses MAP_FAILED as if it were memory. */
static long use_no_memory(void)
{
	volatile char *page;

	refuse_exec_gain();
	page = (char *)mmap_call(NULL, PAGE, RWX, ANON, -1, 0);
	*page = 1;
	return 0;
}

/* Was refused, went on well for long, then dies of something else. */
static long die_of_something_else(void)
{
	char *page = read_only_page(NULL);
	volatile char *nothing = map(PAGE, RW);

	mprotect(page, PAGE, RW);
	for (int i = 0; i < 100; i++)
		munmap(map(PAGE, RW), PAGE);
	munmap((void *)nothing, PAGE);
	*nothing = 1;
	return 0;
}

static long catch_the_fault(void)
{
	volatile char *page = read_only_page(NULL);

	signal(SIGSEGV, jump_back);
	mprotect((void *)page, PAGE, RW);
	if (sigsetjmp(back, 1) == 0)
		*page = 1;
	return 0;
}

static long abort_at_once(void)
{
	char *page = read_only_page(NULL);

	if (mprotect(page, PAGE, RW) != 0)
		abort();
	return 0;
}

static long notice_and_go_on(void)
{
	mprotect(read_only_page(NULL), PAGE, RW);
	return 0;
}

static long touch_beyond_the_file(void)
{
	volatile char *pages = mmap(NULL, 8 * PAGE, R, MAP_SHARED, temporary_file(O_RDWR), 0);

	need(pages != MAP_FAILED, "a mapping longer than its file");
	return pages[7 * PAGE];
}

static long touch_a_guard(void)
{
	volatile char *page = map(PAGE, RW);

	if (madvise((void *)page, PAGE, 102) != 0)
		exit(77);
	return page[0];
}

static long use_an_impossible_address(void)
{
	return *(volatile char *)0x8000000000000000UL;
}

static const struct attempt attempts[] = {
	{"write-anyway", write_anyway},
	{"use-no-memory", use_no_memory},
	{"die-of-something-else", die_of_something_else},
	{"catch-the-fault", catch_the_fault},
	{"abort-at-once", abort_at_once},
	{"notice-and-go-on", notice_and_go_on},
	{"touch-beyond-the-file", touch_beyond_the_file},
	{"touch-a-guard", touch_a_guard},
	{"use-an-impossible-address", use_an_impossible_address},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
