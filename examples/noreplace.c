/*
 * Asks for a mapping at an address that is taken, without replacing what is
 * there.
 *
 * Refused by: the kernel, EEXIST. (Before Linux 4.17 the flag is a mere hint,
 * and the mapping lands elsewhere.)
 */
#include "example.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

int main(void)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	char *taken = mmap(NULL, 2 * PAGE, PROT_READ, flags, -1, 0);
	char *second;

	if (!report("mmap(R, 2 pages)", taken != MAP_FAILED))
		return REFUSED;
	second = mmap(taken + PAGE, PAGE, PROT_READ, flags | MAP_FIXED_NOREPLACE, -1, 0);
	if (!report("mmap(MAP_FIXED_NOREPLACE) over the second", second != MAP_FAILED))
		return REFUSED;
	say("it lies %s\n", second == taken + PAGE ? "there" : "elsewhere");
	return GRANTED;
}
