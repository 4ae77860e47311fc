/*
 * Makes more private memory writable than RLIMIT_DATA (ulimit -d) allows.
 *
 * Refused by: the limit, ENOMEM. The pages count only once they are writable,
 * so mmap is granted and mprotect is refused.
 */
#include "example.h"

#include <sys/resource.h>

int main(void)
{
	struct rlimit limit;
	void *memory = mmap(NULL, 16 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!report("mmap(R, 16 MiB)", memory != MAP_FAILED))
		return REFUSED;
	getrlimit(RLIMIT_DATA, &limit);
	limit.rlim_cur = 4 * MIB;
	if (!report("setrlimit(RLIMIT_DATA, 4 MiB)", setrlimit(RLIMIT_DATA, &limit) == 0))
		return REFUSED;
	if (!report("mprotect(RW)", mprotect(memory, 16 * MIB, PROT_READ | PROT_WRITE) == 0))
		return REFUSED;
	return GRANTED;
}
