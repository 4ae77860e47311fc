/*
 * Maps more than RLIMIT_AS (ulimit -v) allows.
 *
 * Refused by: the limit, ENOMEM. Even memory nobody may touch counts.
 */
#include "example.h"

#include <sys/resource.h>

int main(void)
{
	struct rlimit limit;
	void *memory;

	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = 64 * MIB;
	if (!report("setrlimit(RLIMIT_AS, 64 MiB)", setrlimit(RLIMIT_AS, &limit) == 0))
		return REFUSED;
	memory = mmap(NULL, 256 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!report("mmap(NONE, 256 MiB)", memory != MAP_FAILED))
		return REFUSED;
	return GRANTED;
}
