/* What MDWE refuses: W and X at once, and X for memory that had none. */
#include "case.h"
#include <sys/personality.h>

static char *memory(int prot)
{
	char *page = map(PAGE, prot);

	refuse_exec_gain();
	return page;
}

static long written_then_executable(void) { return mprotect(memory(RW), PAGE, RX); }
static long read_only_to_executable(void) { return mprotect(memory(R), PAGE, RX); }
static long nothing_to_executable(void) { return mprotect(memory(PROT_NONE), PAGE, PROT_EXEC); }
static long executable_to_all(void) { return mprotect(memory(RX), PAGE, RWX); }
static long all_to_all(void) { return mprotect(memory(RWX), PAGE, RWX); }
static long with_key(void) { return syscall(SYS_pkey_mprotect, memory(RW), PAGE, RX, -1); }

static long all_at_once(void)
{
	refuse_exec_gain();
	return mmap_call(NULL, PAGE, RWX, ANON, -1, 0);
}

static long all_at_once_of_a_file(void)
{
	refuse_exec_gain();
	return mmap_call(NULL, PAGE, RWX, MAP_PRIVATE, open_self(), 0);
}

static long implied(void)
{
	/* The kernel adds X to every R. */
	need(personality(READ_IMPLIES_EXEC) != -1, "READ_IMPLIES_EXEC");
	refuse_exec_gain();
	return mmap_call(NULL, PAGE, RW, ANON, -1, 0);
}

static long shared_segment(void)
{
	int id = segment(PAGE, 0700);

	refuse_exec_gain();
	return (long)attach(id, NULL, SHM_EXEC);
}

/* The child of a fork has its parent's MDWE; its exit status carries the errno. */
static long in_a_child(void)
{
	char *page = memory(RW);
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(mprotect(page, PAGE, RX) == 0 ? 0 : errno);
	need(child != -1 && waitpid(child, &status, 0) == child && WIFEXITED(status), "a child");
	errno = WEXITSTATUS(status);
	return errno ? -1 : 0;
}

static const struct attempt attempts[] = {
	{"written-then-executable", written_then_executable},
	{"read-only-to-executable", read_only_to_executable},
	{"nothing-to-executable", nothing_to_executable},
	{"executable-to-all", executable_to_all},
	{"all-to-all", all_to_all},
	{"with-key", with_key},
	{"all-at-once", all_at_once},
	{"all-at-once-of-a-file", all_at_once_of_a_file},
	{"implied", implied},
	{"shared-segment", shared_segment},
	{"in-a-child", in_a_child},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
