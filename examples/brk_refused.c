/*
 * Asks for a larger heap than RLIMIT_DATA allows.
 *
 * Refused by: the limit, without an errno. The system call answers with the
 * break as it is, which is the old one.
 */
#include "example.h"

#include <sys/resource.h>
#include <sys/syscall.h>

int main(void)
{
	struct rlimit limit;
	unsigned long before, after;

	getrlimit(RLIMIT_DATA, &limit);
	limit.rlim_cur = MIB;
	if (!report("setrlimit(RLIMIT_DATA, 1 MiB)", setrlimit(RLIMIT_DATA, &limit) == 0))
		return REFUSED;
	before = syscall(SYS_brk, 0);
	after = syscall(SYS_brk, before + 16 * MIB);
	say("brk: asked for 16 MiB more, got %lu\n", after - before);
	return after > before ? GRANTED : REFUSED;
}
